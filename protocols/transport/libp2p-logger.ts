import { format } from 'node:util';
import type { ComponentLogger, Logger } from '@libp2p/interface';
import type { Logger as PinoLogger } from 'pino';

const ignore = (): void => undefined;

/**
 * Used wherever nothing would be printed. One object for all: libp2p makes a scope for every connection and stream, and its
 * own loggers cost a hub more memory than the streams' buffers.
 */
const silent: Logger = Object.assign(ignore, {
  enabled: false,
  error: ignore,
  trace: ignore,
  newScope: () => silent,
});

/** The letters libp2p adds to those of `util.format`: peer id, multiaddr, CID, datastore key, error, and bytes. */
function text(formatter: unknown, args: unknown[]): string {
  if (typeof formatter !== 'string') return format(formatter, ...args);
  const rest = [...args];
  const filled = formatter.replaceAll(/%[a-z%]/gi, (directive) => {
    if (directive === '%%') return '%';
    if (rest.length === 0) return directive;
    const value = rest.shift();
    if ('%p%a%c%k'.includes(directive)) return String(value);
    if (directive === '%e') return value instanceof Error ? value.message : String(value);
    if ('%b%t%m'.includes(directive)) return Buffer.from(value as Uint8Array).toString('hex');
    return format(directive, value);
  });
  return [filled, ...rest.map((value) => format(value))].join(' ');
}

function scope(log: Pick<PinoLogger, 'debug'>, component: string): Logger {
  const error = (formatter: unknown, ...args: unknown[]): void => {
    log.debug({ component }, text(formatter, args));
  };
  return Object.assign(ignore, {
    enabled: false,
    error,
    trace: ignore,
    newScope: (name: string) => scope(log, `${component}:${name}`),
  });
}

/**
 * What libp2p logs, in the program's own log: its errors at level `debug` (most are other people's: a dial that failed, a
 * stream that was reset), everything else not at all.
 */
export function libp2pLogger(log: Pick<PinoLogger, 'debug' | 'isLevelEnabled'>): ComponentLogger {
  const print = log.isLevelEnabled('debug');
  return { forComponent: (name) => (print ? scope(log, name) : silent) };
}
