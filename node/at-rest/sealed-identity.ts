import { existsSync } from 'node:fs';
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { IdentityFileError, loadOrCreateIdentity } from '../../protocols/transport/identity-file.ts';
import type { ColumnSealer, RowSealer } from './row-sealer.ts';
import { SealedValueError } from './row-sealer.ts';
import { isExposed, readSecretFile, writeSecretFile } from './secret-file.ts';

/** Begins a sealed identity. libp2p's protobuf of a private key begins with 08. */
const MAGIC = Buffer.from('tincan sealed identity 1\n');

/**
 * The daemon's Ed25519 key, sealed under the data key and made at first use. One that lies there bare, as releases
 * before 0.2 left it, is sealed and the bare one overwritten. The caller holds the lock on the data directory.
 *
 * The file: "tincan sealed identity 1\n", then a sealed value (row-sealer.ts) of libp2p's protobuf encoding; mode 0600.
 *
 * @throws IdentityFileError when the file is damaged, holds another kind of key or one sealed under another data key, or
 * others may read it
 */
export async function sealedIdentity(file: string, sealer: RowSealer): Promise<Ed25519PrivateKey> {
  const column = sealer.column('identity.key');
  const bytes = readSecretFile(file);
  if (bytes !== undefined && isSealedIdentity(bytes)) return openIdentity(file, bytes, column);
  bytes?.fill(0);
  const key = bytes === undefined ? await generateKeyPair('Ed25519') : await loadOrCreateIdentity(file);
  const plain = privateKeyToProtobuf(key);
  writeSecretFile(file, Buffer.concat([MAGIC, column.seal(plain)]));
  plain.fill(0);
  return key;
}

/**
 * Reads the daemon's key and makes none.
 *
 * @throws IdentityFileError as above
 */
export async function readIdentity(file: string, sealer: RowSealer): Promise<Ed25519PrivateKey> {
  const bytes = readSecretFile(file);
  if (bytes === undefined) throw new IdentityFileError(`${file} is not there`);
  if (isSealedIdentity(bytes)) return openIdentity(file, bytes, sealer.column('identity.key'));
  bytes.fill(0);
  return loadOrCreateIdentity(file);
}

/** Whether a file holds an identity that only a data key opens. */
export function isSealedIdentity(bytes: Uint8Array): boolean {
  return MAGIC.equals(bytes.subarray(0, MAGIC.byteLength));
}

function openIdentity(file: string, bytes: Buffer, column: ColumnSealer): Ed25519PrivateKey {
  if (existsSync(file) && isExposed(file))
    throw new IdentityFileError(`others may read the identity key: run "chmod 600 ${file}"`);
  let plain: Uint8Array;
  try {
    plain = column.open(bytes.subarray(MAGIC.byteLength));
  } catch (error) {
    if (!(error instanceof SealedValueError)) throw error;
    throw new IdentityFileError(
      `${file} is damaged, or belongs to another data.key; restore both from a backup, or move them away`,
      { cause: error },
    );
  }
  // The key refers to these bytes: they are not to be overwritten.
  const key = privateKeyFromProtobuf(plain);
  if (key.type !== 'Ed25519')
    throw new IdentityFileError(`${file} holds an ${key.type} key; Tincan's identities are Ed25519`);
  return key;
}
