import { open, readFile, rename, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey, PrivateKey } from '@libp2p/interface';
import { passCommitPoint } from '../group-commit/commit-points.ts';

/** The identity file is there and can't be used. Nothing has been changed. */
export class IdentityFileError extends Error {
  override name = 'IdentityFileError';
}

/** Read, write or execute for anybody but the owner. */
const OTHERS = 0o077;

async function create(file: string): Promise<Ed25519PrivateKey> {
  const key = await generateKeyPair('Ed25519');
  // Written beside and renamed, so that a crash leaves no half a key; synced, so that a power cut takes no identity
  // that others have already learned.
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    await handle.writeFile(privateKeyToProtobuf(key));
    await handle.sync();
  } finally {
    await handle.close();
  }
  passCommitPoint('before-commit', [basename(file)]);
  await rename(draft, file);
  passCommitPoint('after-commit', [basename(file)]);
  // Windows can't open a directory.
  if (process.platform !== 'win32') {
    const directory = await open(dirname(file), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
  return key;
}

/**
 * The node's Ed25519 key, made at first use. The file holds libp2p's protobuf encoding of the private key, with mode 0600.
 * The caller holds the lock on the data directory.
 *
 * @throws IdentityFileError when the file is damaged, holds another kind of key, or others may read it
 */
export async function loadOrCreateIdentity(file: string): Promise<Ed25519PrivateKey> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return create(file);
    throw error;
  }
  if (process.platform !== 'win32' && ((await stat(file)).mode & OTHERS) !== 0) {
    throw new IdentityFileError(`others may read the identity key: run "chmod 600 ${file}"`);
  }
  let key: PrivateKey;
  try {
    key = privateKeyFromProtobuf(bytes);
  } catch (error) {
    throw damaged(file, 'is not an identity key', error);
  }
  if (key.type !== 'Ed25519') {
    throw new IdentityFileError(`${file} holds an ${key.type} key; Tincan's identities are Ed25519`);
  }
  if (!(await isWhole(key))) throw damaged(file, 'holds a damaged key');
  return key;
}

function damaged(file: string, what: string, cause?: unknown): IdentityFileError {
  return new IdentityFileError(`${file} ${what}; restore it from a backup, or move it away`, { cause });
}

/** The file has the key's two halves one behind the other, and reading it does not compare them. */
async function isWhole(key: Ed25519PrivateKey): Promise<boolean> {
  const probe = Buffer.from('tincan-identity-probe');
  try {
    return await key.publicKey.verify(probe, await key.sign(probe));
  } catch {
    return false;
  }
}
