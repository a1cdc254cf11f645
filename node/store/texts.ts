import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import { decodeStored, isDamage } from './damage.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** What was written in a row of `messages`, and the peer id of whom it was written to or by. */
export interface WrittenText {
  row: number;
  peer: string;
  text: string;
}

interface BodyRow {
  row: number;
  chain: number;
  counter: number;
  peer: number;
  id: Uint8Array;
  body: Uint8Array;
}

/** A page ends with the message that passes this: a few milliseconds to open, decode and index. */
const PAGE_BYTES = 256 * 1024;

/** Reading the texts alone, all of them after one another. */
export function textsTable(
  database: DatabaseSync,
  sealed: Pick<SealedColumns, 'body'>,
  chains: Pick<Chains, 'peerIdOf'>,
  onDamage: (error: Error) => void,
) {
  const select = database.prepare(
    'SELECT row, chain, counter, peer, id, body FROM messages WHERE row > ? AND row <= ? ORDER BY row',
  );
  const selectNewest = database.prepare('SELECT coalesce(max(row), 0) AS row FROM messages');

  const textOf = ({ row, chain, counter, peer, id, body }: BodyRow): WrittenText => {
    const { text } = decodeStored(sealed.body.open(body, chain, counter, id));
    return { row, peer: chains.peerIdOf(peer), text };
  };

  const readInto = (texts: WrittenText[], after: number, upTo: number): number => {
    let bytes = 0;
    for (const row of select.iterate(after, upTo) as Iterable<unknown> as Iterable<BodyRow>) {
      texts.push(textOf(row));
      bytes += row.body.byteLength;
      if (bytes > PAGE_BYTES) return row.row;
    }
    return upTo;
  };

  return {
    /**
     * What was written in the rows after one, up to another or to where that is long enough; the last row that was looked
     * at, and the newest of all. What can't be read is left out; `onDamage` is told of it.
     */
    'texts.read': ({
      after,
      upTo,
    }: {
      after: number;
      upTo: number;
    }): { texts: WrittenText[]; readTo: number; newestRow: number } => {
      const { row: newestRow } = selectNewest.get() as { row: number };
      const end = Math.min(upTo, newestRow);
      const texts: WrittenText[] = [];
      try {
        return { texts, readTo: readInto(texts, after, end), newestRow };
      } catch (error) {
        if (!isDamage(error)) throw error;
        onDamage(error as Error);
      }
      for (let row = texts.at(-1)?.row ?? after; row < end; row++) {
        try {
          readInto(texts, row, row + 1);
        } catch (error) {
          if (!isDamage(error)) throw error;
        }
      }
      return { texts, readTo: end, newestRow };
    },
  };
}

export type TextsOperations = ReturnType<typeof textsTable>;
