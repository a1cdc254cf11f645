import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { passCommitPoint } from '../protocols/group-commit/commit-points.ts';

/** The longest path a Unix socket can have: 108 bytes on Linux, 104 on macOS, with the final NUL. */
const MAX_SOCKET_PATH_BYTES = 103;

const TOKEN_BYTES = 32;

/** 32 bytes in base64url. What is shorter was cut off by a crash, and must not open the API. */
const TOKEN = /^[\w-]{43}$/;

/** Where clients find the daemon of a data directory. */
export interface ControlFiles {
  socketPath: string;
  token: string;
  /** Tells clients that the daemon is ready, and how to reach it. */
  announce(http: string): Promise<void>;
  /** Takes the announcement back. */
  withdraw(): Promise<void>;
}

async function socketPathFor(dataDir: string): Promise<string> {
  const id = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  if (process.platform === 'win32') return `\\\\.\\pipe\\tincan-${id}`;
  const near = join(dataDir, 'control.sock');
  if (Buffer.byteLength(near) <= MAX_SOCKET_PATH_BYTES) return near;
  // The data directory's path is too long for a socket; daemon.json says where this one is.
  const { XDG_RUNTIME_DIR: runtimeDir = '' } = process.env;
  const folder = join(isAbsolute(runtimeDir) ? runtimeDir : tmpdir(), `tincan-${id}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // In a folder that others can write to, somebody else may have made it first.
  const { mode, uid } = await lstat(folder);
  if ((mode & 0o777) !== 0o700 || uid !== process.getuid?.()) {
    throw new Error(`${folder} belongs to somebody else; use a data directory with a shorter path`);
  }
  return join(folder, 'control.sock');
}

/** Writes a file for its owner's eyes whole or not at all. */
async function replaceFile(file: string, text: string): Promise<void> {
  const fresh = `${file}.new`;
  // What a crash left there may have other permissions, which writing keeps.
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { mode: 0o600, flag: 'wx' });
  passCommitPoint('before-commit', [basename(file)]);
  await rename(fresh, file);
  passCommitPoint('after-commit', [basename(file)]);
}

async function loadOrCreateToken(file: string): Promise<string> {
  try {
    const { mode } = await stat(file);
    const token = (await readFile(file, 'utf8')).trim();
    const isPrivate = process.platform === 'win32' || (mode & 0o077) === 0;
    if (TOKEN.test(token) && isPrivate) return token;
    // Damaged, or others on this machine may have read it.
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  await replaceFile(file, `${token}\n`);
  return token;
}

/** The daemon's socket path, its HTTP token (kept in `control.token`), and its announcement in `daemon.json`. */
export async function controlFiles(dataDir: string): Promise<ControlFiles> {
  const tokenFile = join(dataDir, 'control.token');
  const announcement = join(dataDir, 'daemon.json');
  const socketPath = await socketPathFor(dataDir);
  return {
    socketPath,
    token: await loadOrCreateToken(tokenFile),
    async announce(http) {
      const text = JSON.stringify({ pid: process.pid, socket: socketPath, http, tokenFile });
      await replaceFile(announcement, `${text}\n`);
    },
    withdraw: () => rm(announcement, { force: true }),
  };
}
