import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataKeyError, decodeDataKey, encodeDataKey, kindOf, newDataKey } from './data-key.ts';
import type { Argon2Cost, KeyKind } from './data-key.ts';
import { isExposed, readSecretFile, writeSecretFile } from './secret-file.ts';

/**
 * Where a passphrase comes from; null for none.
 *
 * @param state of the key: a new passphrase is asked for where it is `absent`, the known one where it is `wrapped`, and none
 * where it is `bare`
 */
export type AskPassphrase = (state: KeyKind | 'absent') => Promise<string | null>;

/** Where a data directory keeps its data key. */
export function keyFileOf(dataDir: string): string {
  return join(dataDir, 'data.key');
}

/**
 * What is known of a data directory's key without a passphrase.
 *
 * @throws DataKeyError `damaged`, `newer-version`, `exposed`
 */
export function keyStateOf(dataDir: string): KeyKind | 'absent' {
  const bytes = readKeyFile(dataDir);
  if (bytes === undefined) return 'absent';
  try {
    return kindOf(bytes);
  } finally {
    bytes.fill(0);
  }
}

/**
 * The data key of a data directory.
 *
 * @param passphrase null when the user has chosen none
 * @returns to be overwritten when it is done with; undefined when there is no key yet
 * @throws DataKeyError
 */
export function openKeyFile(dataDir: string, passphrase: string | null): Buffer | undefined {
  const bytes = readKeyFile(dataDir);
  if (bytes === undefined) return undefined;
  try {
    return decodeDataKey(bytes, passphrase);
  } finally {
    bytes.fill(0);
  }
}

/**
 * The data key of a data directory, made at first use. The caller holds the lock on the data directory.
 *
 * @param passphrase null when the user has chosen none
 * @throws DataKeyError
 */
export function openOrCreateKeyFile(dataDir: string, passphrase: string | null, cost?: Argon2Cost): Buffer {
  const known = openKeyFile(dataDir, passphrase);
  if (known !== undefined) return known;
  const dataKey = newDataKey();
  writeKeyFile(dataDir, dataKey, passphrase, cost);
  return dataKey;
}

/**
 * The data key of a data directory where something is sealed with it.
 *
 * @throws DataKeyError
 */
export function requireKeyFile(dataDir: string, passphrase: string | null): Buffer {
  const known = openKeyFile(dataDir, passphrase);
  if (known !== undefined) return known;
  throw new DataKeyError(
    `${keyFileOf(dataDir)} is missing: nothing here can be read without it; put it back from a backup`,
    'missing',
  );
}

/**
 * Wraps the data key anew. What it seals is not touched: a copy of the old key file opens it with the old passphrase as
 * before.
 *
 * @param to null to keep the key bare from now on
 * @throws DataKeyError, and Error when there is no key yet
 */
export function changePassphrase(
  dataDir: string,
  from: string | null,
  to: string | null,
  cost?: Argon2Cost,
): void {
  const dataKey = openKeyFile(dataDir, from);
  if (dataKey === undefined)
    throw new Error(`there is no data key in ${dataDir} yet: the first start of its daemon makes one`);
  try {
    writeKeyFile(dataDir, dataKey, to, cost);
  } finally {
    dataKey.fill(0);
  }
}

function writeKeyFile(
  dataDir: string,
  dataKey: Uint8Array,
  passphrase: string | null,
  cost?: Argon2Cost,
): void {
  const bytes = encodeDataKey(dataKey, passphrase, cost);
  writeSecretFile(keyFileOf(dataDir), bytes);
  bytes.fill(0);
}

function readKeyFile(dataDir: string): Buffer | undefined {
  const file = keyFileOf(dataDir);
  if (existsSync(file) && isExposed(file))
    throw new DataKeyError(`others may read the data key: run "chmod 600 ${file}"`, 'exposed');
  return readSecretFile(file);
}
