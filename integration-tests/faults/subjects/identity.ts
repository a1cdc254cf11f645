import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privateKeyToProtobuf } from '@libp2p/crypto/keys';
import { loadOrCreateIdentity } from '../../../protocols/transport/identity-file.ts';
import { ada, ben } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

let folder: string | undefined;

/** A file of this thread's own. */
function identityFile(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'tincan-fuzz-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return join(folder, 'identity.key');
}

export const subject: Subject = {
  name: 'identity',
  decoders: [
    {
      name: 'identity file',
      async decode(bytes) {
        const file = identityFile();
        writeFileSync(file, bytes, { mode: 0o600 });
        return loadOrCreateIdentity(file);
      },
      encode: privateKeyToProtobuf,
      refusals: ['IdentityFileError'],
      samples: () => [ada, ben].map((key) => new Uint8Array(privateKeyToProtobuf(key))),
    },
  ],
};
