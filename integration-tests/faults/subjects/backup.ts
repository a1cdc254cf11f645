import { createHash } from 'node:crypto';
import { MAX_KEY_FILE_BYTES } from '../../../node/at-rest/data-key.ts';
import { readArchive, writeArchive } from '../../../node/backup/archive.ts';
import type { BackupParts } from '../../../node/backup/archive.ts';
import {
  CHUNK_BYTES,
  HEADER_BYTES,
  openStream,
  readHeader,
  SEALED_CHUNK_BYTES,
  sealStream,
} from '../../../node/backup/sealed-stream.ts';
import type { ReadBytes } from '../../../node/backup/sealed-stream.ts';
import type { Subject } from '../subject.ts';

const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

/** Where a header says how much work a guess is. */
const COST_AT = HEADER_BYTES - MAX_KEY_FILE_BYTES + 18;
const CHECKSUM_BYTES = 8;

interface Content extends BackupParts {
  store: Buffer;
}

const CONTENTS: Content[] = [100, CHUNK_BYTES].map((storeBytes, index) => ({
  madeMs: 1_790_000_000_000,
  peerId: '12D3KooWAda',
  dataKey: Buffer.alloc(32, 3),
  identity: Buffer.alloc(120, 4),
  settings: index === 0 ? null : Buffer.from('name = "ada"\n'),
  store: Buffer.alloc(storeBytes, 5),
}));

function read(chunks: Iterable<Uint8Array>): Content {
  const store: Buffer[] = [];
  const parts = readArchive(chunks, (piece) => store.push(Buffer.from(piece)));
  return { ...parts, store: Buffer.concat(store) };
}

const archive = ({ store, ...parts }: Content): Iterable<Uint8Array> =>
  writeArchive(parts, store.byteLength, [store]);

const whole = (pieces: Iterable<Uint8Array>): Uint8Array => Buffer.concat([...pieces]);

function readerOf(bytes: Uint8Array): ReadBytes {
  let at = 0;
  return (length) => bytes.subarray(at, (at = Math.min(at + length, bytes.byteLength)));
}

/** Of two chunks. */
const file = whole(sealStream(archive(CONTENTS[1]!), PASSPHRASE, CHEAP));
const another = whole(sealStream(archive(CONTENTS[1]!), PASSPHRASE, CHEAP));

/** Parts of backups, put together anew. */
function rearranged(): Uint8Array[] {
  const parts = (bytes: Uint8Array): [header: Uint8Array, first: Uint8Array, last: Uint8Array] => [
    bytes.subarray(0, HEADER_BYTES),
    bytes.subarray(HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES),
    bytes.subarray(HEADER_BYTES + SEALED_CHUNK_BYTES),
  ];
  const [header, first, last] = parts(file);
  const [otherHeader, otherFirst, otherLast] = parts(another);
  return [
    [header],
    [header, first],
    [header, last],
    [header, last, first],
    [header, first, first, last],
    [header, first, last, last],
    [header, first, last, new Uint8Array(1)],
    [header, otherFirst, otherLast],
    [header, first, otherLast],
    [otherHeader, first, last],
  ].map((pieces) => Buffer.concat(pieces));
}

/** Backups whose header asks for more work than any machine has, or for none, with a checksum that is right. */
function unbearable(): Uint8Array[] {
  return [
    [COST_AT, 0xff],
    [COST_AT + 4, 0xff],
    [COST_AT + 8, 0xff],
    [COST_AT + 8, 0],
  ].map(([at, value]) => {
    const forged = Uint8Array.from(file.subarray(0, HEADER_BYTES));
    forged[at!] = value!;
    const key = forged.subarray(HEADER_BYTES - MAX_KEY_FILE_BYTES, HEADER_BYTES - CHECKSUM_BYTES);
    const sum = createHash('sha256').update(key).digest().subarray(0, CHECKSUM_BYTES);
    forged.set(sum, HEADER_BYTES - CHECKSUM_BYTES);
    return Buffer.concat([forged, file.subarray(HEADER_BYTES)]);
  });
}

export const subject: Subject = {
  name: 'backup',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'backup file',
      decode(bytes) {
        const reader = readerOf(bytes);
        return read(openStream(readHeader(reader), reader, PASSPHRASE));
      },
      encode: (content: Content) => whole(sealStream(archive(content), PASSPHRASE, CHEAP)),
      refusals: ['BackupError'],
      samples: () => CONTENTS.map((content) => whole(sealStream(archive(content), PASSPHRASE, CHEAP))),
      forged: () => [...rearranged(), ...unbearable()],
    },
    {
      // What its writer alone can reach: everything before it is sealed.
      name: 'backup archive',
      decode: (bytes) => read([bytes]),
      encode: (content: Content) => whole(archive(content)),
      refusals: ['BackupError'],
      samples: () => [whole(archive(CONTENTS[0]!)), whole(archive({ ...CONTENTS[1]!, store: Buffer.of(1) }))],
    },
  ],
};
