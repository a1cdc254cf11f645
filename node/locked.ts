import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { FastifyBaseLogger } from 'fastify';
import { ControlError } from '../protocols/control/errors.ts';
import type { ControlOperations } from '../protocols/control/contract.ts';
import { routes } from '../protocols/control/routes.ts';
import { STORE_PRAGMAS } from '../protocols/group-commit/worker.ts';
import { controlServer } from './api/server.ts';
import { DataKeyError } from './at-rest/data-key.ts';
import { keyStateOf, requireKeyFile } from './at-rest/key-file.ts';
import type { DaemonConfig } from './config.ts';
import { controlFiles } from './control-files.ts';
import { STORE_FILE } from './daemon-store.ts';
import { eventLog } from './event-log.ts';

export interface LockedInit {
  config: DaemonConfig;
  logger: FastifyBaseLogger;
  version: string;
}

const lockedError = (): ControlError =>
  new ControlError('locked', 'the daemon is locked', { hint: 'unlock it with: tincan unlock' });

/**
 * What a daemon with a passphrase is asked to do when it shall forget its keys.
 *
 * @param lock called once the request has been taken
 */
export function lockOperations(
  dataDir: string,
  lock: () => void,
): Pick<ControlOperations, 'lock' | 'unlock'> {
  return {
    lock() {
      if (keyStateOf(dataDir) !== 'wrapped') {
        throw new ControlError('conflict', 'no passphrase protects this daemon: nothing would unlock it', {
          hint: 'set one with: tincan passphrase change',
        });
      }
      lock();
      return { locked: true };
    },
    unlock: () => ({ locked: false }),
  };
}

/**
 * Stands in for a daemon that is locked: nothing of it runs, no key is in memory, and nobody can reach it. It holds the data
 * directory and answers every request with `locked`, until one brings the right passphrase.
 *
 * @returns the data key, to be overwritten when it is done with, or null when the signal has fired
 */
export async function whileLocked(
  { config, logger, version }: LockedInit,
  { signal }: { signal: AbortSignal },
): Promise<Buffer | null> {
  const { dataDir } = config;
  await using stack = new AsyncDisposableStack();
  const database = new DatabaseSync(join(dataDir, STORE_FILE));
  stack.defer(() => database.close());
  database.exec(STORE_PRAGMAS);
  // The first that is read takes the lock.
  database.prepare('PRAGMA user_version').get();

  const over = Promise.withResolvers<Buffer | null>();
  let unlocked = false;
  const refuse = (): never => {
    throw lockedError();
  };
  const refused = Object.fromEntries(Object.keys(routes).map((name) => [name, refuse]));
  const files = await controlFiles(dataDir);
  const server = controlServer({
    operations: {
      ...(refused as unknown as ControlOperations),
      lock: () => ({ locked: true }),
      unlock({ passphrase }) {
        let key: Buffer;
        try {
          key = requireKeyFile(dataDir, passphrase);
        } catch (error) {
          if (!(error instanceof DataKeyError)) throw error;
          throw new ControlError('forbidden', error.message, { field: 'passphrase' });
        }
        if (unlocked) key.fill(0);
        else over.resolve(key);
        unlocked = true;
        return { locked: false };
      },
    },
    // Its readers are told to begin anew when the daemon is back.
    events: eventLog({ nowRow: 0, messagesAfter: () => Promise.resolve([]) }),
    sendStream: refuse,
    socketPath: files.socketPath,
    http: config.http,
    token: files.token,
    logger,
    version,
  });
  await server.start({ signal });
  stack.defer(() => server.stop());
  await files.announce(server.url);
  stack.defer(() => files.withdraw());
  const stop = (): void => over.resolve(null);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  stack.defer(() => signal.removeEventListener('abort', stop));
  logger.info('locked');
  return await over.promise;
}
