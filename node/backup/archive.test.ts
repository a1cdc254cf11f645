import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readArchive, writeArchive } from './archive.ts';
import type { BackupParts } from './archive.ts';

const PARTS: BackupParts = {
  madeMs: 1_790_000_000_000,
  peerId: '12D3KooWAda',
  dataKey: Buffer.alloc(32, 3),
  identity: Buffer.from('sealed'),
  settings: Buffer.from('name = "ada"\n'),
};

const written = (parts: BackupParts, store: Uint8Array): Buffer =>
  Buffer.concat([...writeArchive(parts, store.byteLength, [store])]);

/** In pieces of a length, as chunks of a file come. */
function read(bytes: Uint8Array, pieceBytes: number): { parts: BackupParts; store: Buffer } {
  const store: Buffer[] = [];
  const pieces = Array.from({ length: Math.ceil(bytes.byteLength / pieceBytes) }, (_, index) =>
    bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
  );
  const parts = readArchive(pieces, (piece) => store.push(Buffer.from(piece)));
  return { parts, store: Buffer.concat(store) };
}

void test('what was written is read, in pieces of any length', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.option(fc.uint8Array({ maxLength: 50 })),
      fc.integer({ min: 1, max: 100 }),
      (store, settings, pieceBytes) => {
        const parts = { ...PARTS, settings: settings === null ? null : Buffer.from(settings) };
        const found = read(written(parts, store), pieceBytes);
        assert.deepEqual(found, { parts, store: Buffer.from(store) });
      },
    ),
  );
});

void test('what is cut off, longer, in another order, or of another length is damage', () => {
  const bytes = written(PARTS, Buffer.from('store'));
  const refuses = (bad: Uint8Array): void =>
    assert.throws(() => read(bad, 64), { name: 'BackupError', code: 'damaged' });
  for (let length = 0; length < bytes.byteLength; length++) refuses(bytes.subarray(0, length));
  refuses(Buffer.concat([bytes, Buffer.of(0)]));
  refuses(written({ ...PARTS, dataKey: Buffer.alloc(31) }, Buffer.from('store')));
  refuses(written({ ...PARTS, identity: Buffer.alloc(5000) }, Buffer.from('store')));
  refuses(written({ ...PARTS, settings: Buffer.alloc(2 ** 20 + 1) }, Buffer.from('store')));
  refuses(written({ ...PARTS, peerId: 'not one\u001b[2J' }, Buffer.from('store')));
  refuses(written(PARTS, Buffer.alloc(0)));
  const time = bytes.subarray(0, 17);
  refuses(Buffer.concat([bytes.subarray(17), time]));
  refuses(Buffer.concat([time, bytes]));
});

void test('a store that changes its length while it is packed makes no backup', () => {
  assert.throws(() => [...writeArchive(PARTS, 3, [Buffer.alloc(4)])], /another size/);
});
