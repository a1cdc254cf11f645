import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { loadOrCreateIdentity } from '../transport/identity-file.ts';
import { openPages } from './database-pages.ts';
import { explainStoreError } from './operations.ts';
import { finishRepair, isHeld, isTruncated, rebuildStore, replaceStore, versionIn } from './repair.ts';

/** One thing that was looked at. */
export interface Check {
  ok: boolean;
  name: string;
  /** What was found. */
  detail: string;
  /** What to do about it; null where nothing is wrong, or nothing can be done. */
  todo: string | null;
}

export interface Diagnosis {
  /** The store that was looked at. */
  store: string;
  checks: Check[];
  /** What was done, and what could not be read. */
  repair: { damaged: string; rows: number; lost: string[] } | null;
  /** Whether nothing is wrong, or no more. */
  ok: boolean;
}

export interface DoctorOptions {
  repair: boolean;
  /** Begin an empty store if nothing of the damaged one can be read. */
  startEmpty: boolean;
  nowMs: number;
}

export interface DoctorInit<Losses> {
  dataDir: string;
  /** The store's file in it. */
  fileName: string;
  version: number;
  migrate: (database: DatabaseSync, version?: number) => void;
  mend: (database: DatabaseSync) => Losses;
  /** What is lost, in words for a person, a line each. */
  describe: (losses: Losses) => string[];
  /** Reads the identity key, which is there. Unless given, it lies bare in its file. */
  readIdentity?: (file: string) => Promise<unknown>;
}

/** Below this, a day's messages may not fit any more. */
const LOW_SPACE_BYTES = 64 * 1024 * 1024;

/** What differs by less is no clock that is wrong. */
const CLOCK_TOLERANCE_MS = 24 * 3_600_000;

/** Faults that SQLite is asked for; the first says as much as the hundredth. */
const SHOWN_FAULTS = 3;

/** Read, write or execute for anybody but the owner. */
const OTHERS = 0o077;

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 1024 ** 2).toLocaleString('en-GB')} MiB`;

const unreadable = (pages: number): string[] =>
  pages === 0 ? [] : [`${pages.toLocaleString('en-GB')} page${pages === 1 ? '' : 's'} can't be read`];

const good = (name: string, detail: string): Check => ({ ok: true, name, detail, todo: null });
const bad = (name: string, detail: string, todo: string | null): Check => ({ ok: false, name, detail, todo });

function checkFolder(dataDir: string): Check {
  const name = 'data directory';
  const { mode } = statSync(dataDir);
  if (process.platform !== 'win32' && (mode & OTHERS) !== 0)
    return bad(name, `others may look into ${dataDir}`, `chmod 700 ${dataDir}`);
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return bad(
      name,
      `${dataDir} can't be written`,
      'run this as its owner, or make the file system writable',
    );
  }
  return good(name, dataDir);
}

async function checkIdentity(
  file: string,
  hasStore: boolean,
  readIdentity: (file: string) => Promise<unknown>,
): Promise<Check> {
  const name = 'identity key';
  if (!existsSync(file)) {
    return hasStore
      ? bad(
          name,
          `${file} is missing: the next start would make another, and nobody would know you`,
          'put it back from a backup',
        )
      : good(name, 'not made yet');
  }
  try {
    await readIdentity(file);
    return good(name, 'readable and valid');
  } catch (error) {
    return bad(name, (error as Error).message, 'nothing else has it: put it back from a backup');
  }
}

function checkSpace(dataDir: string): Check {
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  const detail = `${mebibytes(free)} free`;
  return free < LOW_SPACE_BYTES
    ? bad('disk space', detail, `make room: ${mebibytes(LOW_SPACE_BYTES)} at the least`)
    : good('disk space', detail);
}

function checkClock(file: string, nowMs: number): Check {
  const { mtimeMs } = statSync(file);
  return mtimeMs > nowMs + CLOCK_TOLERANCE_MS
    ? bad(
        'clock',
        `it is ${new Date(nowMs).toISOString()}, before the store was last written`,
        'set the clock',
      )
    : good('clock', new Date(nowMs).toISOString());
}

/** What SQLite itself finds wrong with a copy of the store. */
function sqliteFaults(copy: string): string[] {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(copy);
    database.exec('PRAGMA journal_mode = MEMORY');
    const faults = database.prepare(`PRAGMA integrity_check(${SHOWN_FAULTS})`).all();
    const found = faults.map((row) => String(row['integrity_check'])).filter((text) => text !== 'ok');
    const foreign = database.prepare('PRAGMA foreign_key_check').all().length;
    return foreign === 0 ? found : [...found, `${foreign} rows refer to others that are not there`];
  } catch (error) {
    return [(error as Error).message];
  } finally {
    database?.close();
  }
}

/**
 * Where copies go: beside the store, on the disk that is meant for what they hold, or where temporary files go if that
 * can't be written or has no room.
 */
function scratchFolder(dataDir: string, bytes: number): { folder: string; remove: () => void } {
  const { bavail, bsize } = statfsSync(dataDir);
  const own = join(dataDir, 'doctor.tmp');
  if (bavail * bsize > bytes) {
    try {
      rmSync(own, { recursive: true, force: true });
      mkdirSync(own, { mode: 0o700 });
      return { folder: own, remove: () => rmSync(own, { recursive: true }) };
    } catch {
      // It can still be looked at.
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'tincan-doctor-'));
  return { folder, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * Looks a data directory over, while no program runs on it, and repairs its store if asked to. Apart from that it
 * changes nothing; it needs room for two copies of the store meanwhile.
 */
export async function examine<Losses>(
  init: DoctorInit<Losses>,
  { repair, startEmpty, nowMs }: DoctorOptions,
): Promise<Diagnosis> {
  const { dataDir, fileName, version, readIdentity = loadOrCreateIdentity } = init;
  const file = join(dataDir, fileName);
  const checks: Check[] = [];
  const done = (repaired: Diagnosis['repair'] = null): Diagnosis => ({
    store: file,
    checks,
    repair: repaired,
    ok: checks.every(({ ok }) => ok),
  });
  const identityFile = join(dataDir, 'identity.key');
  using stack = new DisposableStack();
  const isPending = (): boolean =>
    readdirSync(dataDir).some((name) => name.startsWith(`${fileName}.repaired-`));

  checks.push(checkFolder(dataDir));
  if (isHeld(file)) {
    checks.push(bad('store', `another process has ${file} open`, 'stop it first, then run this again'));
    return done();
  }
  if (repair && isPending()) finishRepair(file);
  const hasStore = existsSync(file);
  checks.push(await checkIdentity(identityFile, hasStore, readIdentity));
  if (!hasStore) {
    checks.push(good('store', `${file} is not made yet`));
    return done();
  }
  checks.push(checkClock(file, nowMs));
  const command = `tincan doctor --repair --data-dir ${dataDir}`;
  try {
    const found = versionIn(file);
    if (found !== undefined && found > version) {
      checks.push(
        bad('version', `the store has version ${found}, this Tincan knows ${version}`, 'use a newer Tincan'),
      );
      return done();
    }
    const scratch = scratchFolder(dataDir, 3 * statSync(file).size);
    stack.defer(scratch.remove);
    const copy = join(scratch.folder, 'copy.db');
    const made = repair ? `${file}.repairing` : join(scratch.folder, 'made.db');
    {
      using pages = openPages(file);
      pages.copyTo(copy);
    }
    const faults = isTruncated(file) ? ['the file is empty'] : sqliteFaults(copy);
    const { report, found: salvaged } = rebuildStore({ ...init, file, to: made });
    const lost = init.describe(report);
    const damaged = faults.length > 0 || lost.length > 0 || salvaged.damagedPages > 0;
    checks.push(
      faults.length > 0 || salvaged.damagedPages > 0
        ? bad(
            'database',
            `${file} is damaged: ${[...faults, ...unreadable(salvaged.damagedPages)].join('; ')}`,
            repair ? null : command,
          )
        : good('database', `${salvaged.rows.toLocaleString('en-GB')} rows, version ${found ?? version}`),
      lost.length > 0
        ? bad('content', lost.join('; '), repair ? null : command)
        : good('content', 'all that is there is what was written'),
    );
    if (!damaged || !repair) rmSync(made);
    else if (salvaged.rows === 0 && !startEmpty) {
      rmSync(made);
      checks.push(
        bad(
          'repair',
          'nothing of it can be read; it was left as it is',
          `put a backup back, or begin anew, with the same identity and no messages: ${command} --start-empty`,
        ),
      );
    } else if (isHeld(file)) {
      rmSync(made);
      checks.push(bad('repair', `another process has opened ${file}`, 'stop it first, then run this again'));
    } else {
      const kept = replaceStore(file, made, nowMs);
      const repaired = { damaged: kept, rows: salvaged.rows, lost };
      // What was wrong with the store is not any more; what else is wrong still is.
      const rest = checks.filter(({ name }) => name !== 'database' && name !== 'content');
      checks.push(checkSpace(dataDir));
      return { ...done(repaired), ok: [...rest, checks.at(-1)!].every(({ ok }) => ok) };
    }
  } catch (error) {
    const { message, code } = explainStoreError(undefined, error);
    const isFull = code === 'disk-full' || (error as NodeJS.ErrnoException).code === 'ENOSPC';
    checks.push(
      bad(
        'database',
        isFull
          ? `there is no room for a copy of ${file}`
          : `${file} can't be read, or not copied: ${message}`,
        isFull
          ? `make room: ${mebibytes(2 * statSync(file).size)}`
          : 'see to the disk, and to who may use the file',
      ),
    );
  }
  checks.push(checkSpace(dataDir));
  return done();
}
