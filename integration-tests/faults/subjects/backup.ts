import { readArchive, writeArchive } from '../../../node/backup/archive.ts';
import type { BackupParts } from '../../../node/backup/archive.ts';
import { CHUNK_BYTES, openStream, readHeader, sealStream } from '../../../node/backup/sealed-stream.ts';
import type { ReadBytes } from '../../../node/backup/sealed-stream.ts';
import type { Subject } from '../subject.ts';

const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

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
