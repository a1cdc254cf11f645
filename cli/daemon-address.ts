import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { controlClient } from '../protocols/control/client.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import type { ControlClient } from '../protocols/control/client.ts';

/** The file in its data directory in which a running daemon says how to reach it. */
const ADDRESS_FILE = 'daemon.json';

/** What the daemon writes into its data directory, mode 0600, when it is ready. */
interface DaemonAddress {
  pid: number;
  /** The Unix socket; elsewhere when the data directory's path is too long for one. */
  socket: string;
  http: string;
  tokenFile: string;
}

/** The data directory of the daemon that client commands talk to. */
export function clientDataDir(flag: string | undefined, env: NodeJS.ProcessEnv): string {
  const named = flag ?? env['TINCAN_HOME'];
  if (named === undefined || named === '') return join(homedir(), '.tincan');
  return named.startsWith('~/') ? join(homedir(), named.slice(2)) : resolve(named);
}

/**
 * A client for the daemon of a data directory.
 *
 * @throws {DaemonUnreachableError} when no daemon has said where it is
 */
export function findDaemon(dataDir: string): ControlClient {
  let text: string;
  try {
    text = readFileSync(join(dataDir, ADDRESS_FILE), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new DaemonUnreachableError('no daemon has been here', { mayHaveArrived: false, cause: error });
    }
    throw error;
  }
  return controlClient({ socketPath: readSocketPath(text) });
}

/**
 * Reads the file in which a daemon says where it is.
 *
 * @throws {DaemonUnreachableError} when a crash or somebody else has damaged it: a daemon that starts writes it anew
 */
export function readSocketPath(text: string): string {
  let address: Partial<DaemonAddress> | null = null;
  try {
    address = JSON.parse(text) as Partial<DaemonAddress> | null;
  } catch {
    // As if it held nothing.
  }
  const socket = address?.socket;
  if (typeof socket === 'string' && socket !== '') return socket;
  throw new DaemonUnreachableError(`${ADDRESS_FILE} is damaged`, { mayHaveArrived: false });
}

/** What to tell somebody whose daemon does not answer. */
export function noDaemonMessage(dataDir: string, { mayHaveArrived }: DaemonUnreachableError): string {
  const start = `start one with: tincan daemon --data-dir ${dataDir}`;
  return mayHaveArrived
    ? `the daemon for ${dataDir} went away before it answered; whether it did what was asked is not known\n${start}`
    : `no daemon is running for ${dataDir}; ${start}`;
}
