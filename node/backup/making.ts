import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { extname, isAbsolute, join } from 'node:path';
import { backup } from 'node:sqlite';
import type { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { readSecretFile } from '../at-rest/secret-file.ts';
import type { RowSealer } from '../at-rest/row-sealer.ts';
import { readIdentity } from '../at-rest/sealed-identity.ts';
import { MAX_SETTINGS_BYTES } from './archive.ts';
import { BackupError } from './backup-error.ts';
import type { BackupErrorCode } from './backup-error.ts';
import { checkFree, draftOf, explainingSync } from './backup-file.ts';
import type { Packing } from './packing.ts';

/** Copies of the store lie here while a backup is made: as well sealed as the store, on the same disk. */
const FOLDER = 'backup.new';

/** Pages of the store copied in one go, in which nothing is written to it: less than a millisecond. */
const PAGES = 100;

/** A copy that meets a transaction at its very first page has to begin anew. */
const TRIES = 20;

/** What SQLite says of that. */
const BUSY = 5;

export interface MakingInit {
  dataDir: string;
  /** The open store: the only way to it while it is open. */
  database: DatabaseSync;
  sealer: RowSealer;
  nowMs: () => number;
}

export interface BackupRequest {
  /** Absolute path. */
  file: string;
  passphrase: string;
  force: boolean;
}

export interface BackupMade {
  file: string;
  bytes: number;
  peerId: string;
  madeMs: number;
}

export interface BackupMaker {
  /** @throws BackupError; nothing of it is left then */
  make(request: BackupRequest, options: { signal: AbortSignal }): Promise<BackupMade>;
  /** Resolves when none is being made: before that, the store has to stay open. */
  ended(): Promise<void>;
}

/**
 * Makes backups of an open data directory, one at a time. The store goes on being used: it is copied in the thread pool in
 * small steps, and packed in a thread of its own. What is written meanwhile is in the copy or not, but never half.
 */
export function backupMaker({ dataDir, database, sealer, nowMs }: MakingInit): BackupMaker {
  let making: Promise<BackupMade> | undefined;

  const make = async (
    { file, passphrase, force }: BackupRequest,
    { signal }: { signal: AbortSignal },
  ): Promise<BackupMade> => {
    if (!isAbsolute(file)) throw new BackupError('a backup needs an absolute path', 'unwritable');
    checkFree(file, force);
    const draft = draftOf(file);
    try {
      const madeMs = nowMs();
      const identityFile = join(dataDir, 'identity.key');
      const identity = readSecretFile(identityFile);
      if (identity === undefined)
        throw new BackupError(`there is no identity in ${dataDir}`, 'nothing-there');
      const peerId = (await readIdentity(identityFile, sealer)).publicKey.toString();
      clearCopies(dataDir);
      const folder = join(dataDir, FOLDER);
      explainingSync('written', () => mkdirSync(folder, { mode: 0o700 }));
      const copy = join(folder, 'pages.db');
      await copyStore(database, copy, signal);
      const parts = { madeMs, peerId, dataKey: sealer.dataKey(), identity, settings: readSettings(dataDir) };
      const bytes = await packed({ parts, copy, file, draft, passphrase, force }, signal);
      return { file, bytes, peerId, madeMs };
    } finally {
      clearCopies(dataDir);
      rmSync(draft, { force: true });
    }
  };

  return {
    async make(request, options) {
      if (making !== undefined) throw new BackupError('another backup is being made', 'busy');
      making = make(request, options);
      try {
        return await making;
      } finally {
        making = undefined;
      }
    },
    async ended() {
      await making?.catch(() => undefined);
    },
  };
}

/** Removes what is left of a backup that was being made when its process was killed. Whoever calls holds the data directory. */
export function clearCopies(dataDir: string): void {
  rmSync(join(dataDir, FOLDER), { recursive: true, force: true });
}

function readSettings(dataDir: string): Buffer | null {
  let settings: Buffer;
  try {
    settings = readFileSync(join(dataDir, 'config.toml'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new BackupError(`config.toml can't be read: ${(error as Error).message}`, 'unreadable');
  }
  if (settings.byteLength > MAX_SETTINGS_BYTES)
    throw new BackupError('config.toml is too large to be settings', 'unreadable');
  return settings;
}

async function copyStore(database: DatabaseSync, to: string, signal: AbortSignal): Promise<void> {
  for (let left = TRIES; ; left--) {
    signal.throwIfAborted();
    try {
      await backup(database, to, { rate: PAGES, progress: () => signal.throwIfAborted() });
      return;
    } catch (error) {
      signal.throwIfAborted();
      const { errcode, message } = error as Error & { errcode?: number };
      if (errcode === BUSY && left > 1) continue;
      throw new BackupError(`the store can't be copied: ${message}`, codeOf(errcode), { cause: error });
    }
  }
}

const DISK_FULL = 13;
const codeOf = (errcode: number | undefined): BackupErrorCode =>
  errcode === DISK_FULL ? 'disk-full' : 'unreadable';

/** What the thread says before it ends. */
type PackingAnswer = { bytes: number } | { failed: { message: string; code: BackupErrorCode } };

/** Runs `packBackup` in a thread that ends when the signal fires. */
async function packed(packing: Packing, signal: AbortSignal): Promise<number> {
  const url = new URL(`./backup-worker${extname(import.meta.filename)}`, import.meta.url);
  const answer = Promise.withResolvers<number>();
  const thread = new Worker(url, { workerData: packing });
  packing.parts.dataKey.fill(0);
  const ended = new Promise<void>((resolve) => {
    thread.once('exit', () => resolve());
  });
  const onAbort = (): void => {
    answer.reject(signal.reason as Error);
    void thread.terminate();
  };
  thread.once('message', (message: PackingAnswer) => {
    if ('bytes' in message) answer.resolve(message.bytes);
    else answer.reject(new BackupError(message.failed.message, message.failed.code));
  });
  thread.once('error', (cause: Error) =>
    answer.reject(new Error(`a backup failed: ${cause.message}`, { cause })),
  );
  void ended.then(() => answer.reject(new Error('a backup ended without an answer')));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await answer.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await ended;
  }
}
