import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { BackupError } from './backup-error.ts';
import type { BackupErrorCode } from './backup-error.ts';
import {
  BACKUP_MAGIC,
  CHUNK_BYTES,
  HEADER_BYTES,
  openStream,
  readHeader,
  SEALED_CHUNK_BYTES,
  sealStream,
} from './sealed-stream.ts';
import type { ReadBytes } from './sealed-stream.ts';

const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

function readerOf(bytes: Uint8Array): ReadBytes {
  let at = 0;
  return (length) => bytes.subarray(at, (at = Math.min(at + length, bytes.byteLength)));
}

const sealed = (content: Iterable<Uint8Array>): Buffer =>
  Buffer.concat([...sealStream(content, PASSPHRASE, CHEAP)]);

/** Copies, as what is handed out is overwritten. */
const opened = (file: Uint8Array, passphrase = PASSPHRASE): Buffer => {
  const read = readerOf(file);
  const chunks = openStream(readHeader(read), read, passphrase);
  return Buffer.concat(Array.from(chunks, (chunk) => Buffer.from(chunk)));
};

const refuses = (file: Uint8Array, code: BackupErrorCode, passphrase = PASSPHRASE): void =>
  assert.throws(
    () => opened(file, passphrase),
    (error: unknown) => error instanceof BackupError && error.code === code,
    `of ${file.byteLength} bytes`,
  );

void test('what is sealed is opened again, whatever its length and its pieces', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: CHUNK_BYTES + 3 }), { minLength: 1, maxLength: 5 }),
      (lengths) => {
        const pieces = [Buffer.of(1), ...lengths.map((length, index) => Buffer.alloc(length, index))];
        assert.ok(opened(sealed(pieces)).equals(Buffer.concat(pieces)));
      },
    ),
    { numRuns: 30 },
  );
  for (const length of [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES]) {
    const file = sealed([Buffer.alloc(length, 5)]);
    const chunks = Math.ceil(length / CHUNK_BYTES);
    assert.equal(file.byteLength, HEADER_BYTES + length + chunks * (SEALED_CHUNK_BYTES - CHUNK_BYTES));
    assert.ok(opened(file).equals(Buffer.alloc(length, 5)));
  }
});

void test('a flipped bit in any byte is found', () => {
  const file = sealed([Buffer.from('a short one')]);
  for (let at = 0; at < file.byteLength; at++) {
    const changed = Buffer.from(file);
    changed[at]! ^= 1 << (at % 8);
    // Of the file, and of the wrapped key in it.
    const isVersion = at === BACKUP_MAGIC.byteLength || at === BACKUP_MAGIC.byteLength + 17;
    if (isVersion) changed[at] = 2;
    refuses(changed, at < BACKUP_MAGIC.byteLength ? 'no-backup' : isVersion ? 'newer-version' : 'damaged');
  }
});

void test('a backup that is cut off is found, wherever', () => {
  const short = sealed([Buffer.from('a short one')]);
  for (let length = 0; length < short.byteLength; length++)
    refuses(short.subarray(0, length), length < BACKUP_MAGIC.byteLength ? 'no-backup' : 'damaged');
  const file = sealed([Buffer.alloc(3 * CHUNK_BYTES + 5, 5)]);
  for (const chunk of [0, 1, 2, 3]) {
    const edge = HEADER_BYTES + chunk * SEALED_CHUNK_BYTES;
    for (const length of [edge - 1, edge, edge + 1, edge + 17]) refuses(file.subarray(0, length), 'damaged');
  }
});

void test('chunks can be neither swapped, left out, doubled nor added, nor taken from another backup', () => {
  const content = Buffer.alloc(2 * CHUNK_BYTES, 5);
  const file = sealed([content]);
  const [header, first, last] = [
    file.subarray(0, HEADER_BYTES),
    file.subarray(HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES),
    file.subarray(HEADER_BYTES + SEALED_CHUNK_BYTES),
  ];
  const other = sealed([content]);
  for (const parts of [
    [header, last, first],
    [header, last],
    [header, first, first, last],
    [header, first, last, last],
    [header, first, last, Buffer.of(0)],
    [header, first, other.subarray(HEADER_BYTES + SEALED_CHUNK_BYTES)],
    [other.subarray(0, HEADER_BYTES), first, last],
  ])
    refuses(Buffer.concat(parts), 'damaged');
});

void test('another passphrase is told from damage; one that is none is refused before any work', () => {
  const file = sealed([Buffer.from('content')]);
  refuses(file, 'wrong-passphrase', 'wrong horse battery');
  refuses(file, 'wrong-passphrase', '');
  assert.throws(() => sealStream([], 'short'), { name: 'BackupError', code: 'passphrase-unusable' });
});

/** A file whose wrapped key claims something else, with the checksum that its forger would give it. */
function claiming(file: Buffer, at: number, bytes: Uint8Array): Buffer {
  const forged = Buffer.from(file);
  const key = forged.subarray(BACKUP_MAGIC.byteLength + 1, HEADER_BYTES);
  key.set(bytes, at);
  key.set(createHash('sha256').update(key.subarray(0, -8)).digest().subarray(0, 8), key.byteLength - 8);
  return forged;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

void test('a file that asks for more work than is bearable gets none of it', () => {
  const file = sealed([Buffer.from('content')]);
  const [memoryAt, passesAt, lanesAt] = [18, 22, 26];
  assert.ok(opened(claiming(file, lanesAt, Buffer.of(CHEAP.lanes))).equals(Buffer.from('content')));
  const startedMs = performance.now();
  for (const forged of [
    claiming(file, memoryAt, Buffer.from([0x80, 0, 0, 0])),
    claiming(file, memoryAt, Buffer.from([0, 0, 0, 0])),
    claiming(file, passesAt, Buffer.from([0xff, 0xff, 0xff, 0xff])),
    claiming(file, lanesAt, Buffer.of(0)),
    claiming(file, lanesAt, Buffer.of(255)),
    // A little more than what is borne: of memory, of passes, of lanes, of memory times passes.
    claiming(file, memoryAt, uint32(256 * 1024 + 1)),
    claiming(file, passesAt, uint32(65)),
    claiming(claiming(file, memoryAt, uint32(1024)), lanesAt, Buffer.of(17)),
    claiming(claiming(file, memoryAt, uint32(256 * 1024)), passesAt, uint32(5)),
    claiming(claiming(file, memoryAt, uint32(64 * 1024)), passesAt, uint32(17)),
  ])
    refuses(forged, 'damaged');
  assert.ok(performance.now() - startedMs < 1000);
});
