import { constants } from 'node:fs';
import { access, mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../harness/command.ts';

/** A disk larger than this is not a test's own, and not filled. */
const SMALL_BYTES = 256 * 1024 * 1024;

/** Written at a time when a disk is filled. */
const PIECE_BYTES = 1024 * 1024;

/** `f_type` of tmpfs, from Linux's magic.h. */
const TMPFS = 0x01021994;

/**
 * Mounts a tmpfs of so many bytes on a folder, which is made. Undefined where that is not allowed. Disposing of it
 * unmounts it, after whatever uses it has ended.
 */
export async function smallDisk(
  folder: string,
  { bytes, signal }: { bytes: number; signal: AbortSignal },
): Promise<AsyncDisposable | undefined> {
  if (process.platform !== 'linux') return undefined;
  await mkdir(folder, { recursive: true });
  const mount = ['mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tincan-test', folder];
  const mounted = await runCommand(mount, { signal }).catch(() => undefined);
  if (mounted?.code !== 0) return undefined;
  return {
    async [Symbol.asyncDispose]() {
      await runCommand(['umount', '--lazy', folder], { signal: AbortSignal.timeout(10_000) });
    },
  };
}

/**
 * Takes all room that is left on the small disk a folder lies on. Disposing of it gives the room back. Undefined for a
 * folder on any other disk.
 */
export async function fillDisk(folder: string): Promise<AsyncDisposable | undefined> {
  const reachable = await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!reachable) return undefined;
  const { type, blocks, bsize } = await statfs(folder);
  if (type !== TMPFS || blocks === 0 || blocks * bsize > SMALL_BYTES) return undefined;
  const ballast = join(folder, 'ballast');
  const file = await open(ballast, 'w');
  const piece = Buffer.alloc(PIECE_BYTES, 1);
  try {
    for (;;) await file.write(piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
  return {
    async [Symbol.asyncDispose]() {
      await rm(ballast, { force: true });
    },
  };
}
