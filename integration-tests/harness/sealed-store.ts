import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openKeyFile } from '../../node/at-rest/key-file.ts';
import { rowSealer } from '../../node/at-rest/row-sealer.ts';
import { sealedColumns } from '../../node/store/sealed-columns.ts';
import { decodeMessage } from '../../protocols/chat/message.ts';

/** Where in its header a database says that it is written through a log. */
const JOURNAL_VERSIONS = [18, 19];

/** A message as it stands in a daemon's store. */
export interface SealedMessage {
  /** The bytes that are on the disk. */
  sealed: Uint8Array;
  text: string;
}

/** The messages in the store of a daemon that was stopped and has no passphrase. Nothing there is touched. */
export function sealedMessages(dataDir: string): SealedMessage[] {
  const bytes = readFileSync(join(dataDir, 'daemon.db'));
  // A copy in memory has no log.
  for (const at of JOURNAL_VERSIONS) bytes[at] = 1;
  const { body } = sealedColumns(rowSealer(openKeyFile(dataDir, null)!));
  const database = new DatabaseSync(':memory:');
  try {
    database.deserialize(bytes);
    const rows = database.prepare('SELECT chain, counter, id, body FROM messages').all() as unknown as {
      chain: number;
      counter: number;
      id: Uint8Array;
      body: Uint8Array;
    }[];
    return rows.map(({ chain, counter, id, body: sealed }) => ({
      sealed,
      text: decodeMessage(body.open(sealed, chain, counter, id)).text,
    }));
  } finally {
    database.close();
  }
}
