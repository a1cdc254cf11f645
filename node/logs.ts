import { format } from 'node:util';
import type { Logger } from '@libp2p/interface';
import { pino } from 'pino';
import type { Logger as PinoLogger } from 'pino';
import type { DaemonConfig } from './config.ts';

/** The daemon's log: one JSON object a line on standard error. */
export function daemonLog(level: DaemonConfig['logLevel']): PinoLogger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
}

/**
 * A part's logger with libp2p's interface and formats (`%s`, `%d`, `%p` a peer id, `%a` a multiaddr, `%e` an error), so
 * that our code and libp2p's are written alike. Calls are `debug`, `.error` is `error`, `.trace` is `trace`.
 */
export function partLog(log: PinoLogger, part: string): Logger {
  const child = log.child({ part });
  const text = (formatter: unknown, args: unknown[]): string =>
    format(
      // As in libp2p, an error or anything else may stand alone.
      typeof formatter === 'string' ? formatter.replaceAll(/%[pae]/g, '%s') : formatter,
      ...args.map((arg) =>
        arg instanceof Error
          ? (arg.stack ?? arg.message)
          : typeof arg === 'string'
            ? arg
            : `${arg as number}`,
      ),
    );
  const write =
    (level: 'debug' | 'error' | 'trace') =>
    (formatter: unknown, ...args: unknown[]): void => {
      if (child.isLevelEnabled(level)) child[level](text(formatter, args));
    };
  return Object.assign(write('debug'), {
    error: write('error'),
    trace: write('trace'),
    enabled: child.isLevelEnabled('debug'),
    newScope: (name: string) => partLog(log, `${part}:${name}`),
  });
}
