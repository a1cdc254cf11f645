import { DatabaseSync } from 'node:sqlite';
import { forIndex, isBeginning, TOKEN_CATEGORIES } from './words.ts';

/** A message that can be found. */
export interface IndexedMessage {
  /** In the store; each is added once, in this order. */
  row: number;
  peer: string;
  text: string;
}

/** What is looked for. */
export interface IndexQuery {
  /** As `wordsOf` gives them. Each has to be in the text, or a word that begins with it; of a single letter, the letter alone. */
  words: readonly string[];
  /** Only what was written to or by this peer. */
  peer?: string;
  /** Only rows before this one. */
  before?: number;
  limit: number;
}

/**
 * The words of all messages, in memory and nowhere else: on the disk they are sealed, where SQLite can't look for them. It
 * has no texts, only which words stand where: 60 to 90 bytes a message of 90 characters.
 */
export interface MessageIndex extends Disposable {
  /** Adds messages, in the order of their rows. */
  add(messages: readonly IndexedMessage[]): void;
  /** Rows of messages, the newest first. Words without anything to look for in them are passed over. */
  find(query: IndexQuery): number[];
}

/**
 * Words gathered in a table of hashes before they are sorted into the tree of what can be found: 4 MiB of them are some ten
 * thousand messages. With SQLite's 1 MiB, half as much time again goes into merging.
 */
const GATHERED_BYTES = 4 * 1024 * 1024;

/**
 * `content=''`: texts are not kept a second time; `columnsize=0`: nor their lengths, which rank nothing here. The peer is a
 * word in a column of its own, so that the index itself leaves other conversations out.
 *
 * All goes into one transaction without end, and nothing is kept to roll back to: a commit for each slice takes three times as
 * long, and there is no disk on which anything could stay by half.
 */
const SCHEMA = `
  PRAGMA temp_store = MEMORY;
  PRAGMA journal_mode = OFF;
  BEGIN;
  CREATE VIRTUAL TABLE words USING fts5(
    text, peer, content='', columnsize=0,
    tokenize="unicode61 remove_diacritics 2 categories '${TOKEN_CATEGORIES}'"
  );
  INSERT INTO words (words, rank) VALUES ('hashsize', ${GATHERED_BYTES});
`;

/** Opens an empty index. */
export function openMessageIndex(): MessageIndex {
  const database = new DatabaseSync(':memory:');
  database.exec(SCHEMA);
  const insert = database.prepare('INSERT INTO words (rowid, text, peer) VALUES (?, ?, ?)');
  const select = database.prepare(
    'SELECT rowid AS row FROM words WHERE words MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?',
  );
  const peers = new Map<string, string>();

  return {
    add(messages) {
      for (const { row, peer, text } of messages) {
        let known = peers.get(peer);
        if (known === undefined) peers.set(peer, (known = `p${peers.size}`));
        insert.run(row, forIndex(text), known);
      }
    },

    find({ words, peer, before = Number.MAX_SAFE_INTEGER, limit }) {
      const known = peer === undefined ? undefined : peers.get(peer);
      if (words.length === 0 || (peer !== undefined && known === undefined)) return [];
      const text = `{text} : (${words.map(asPhrase).join(' AND ')})`;
      const match = known === undefined ? text : `{peer} : "${known}" AND ${text}`;
      return (select.all(match, before, limit) as unknown as { row: number }[]).map(({ row }) => row);
    },

    [Symbol.dispose]() {
      database.close();
    },
  };
}

/** A word as FTS5 takes it: whatever is in it is text, no syntax (https://www.sqlite.org/fts5.html, section 3.1). */
function asPhrase(word: string): string {
  // What is after a NUL, SQLite would take for the end of the query.
  const phrase = `"${forIndex(word).replaceAll('"', '""').replaceAll('\0', ' ')}"`;
  return isBeginning(word) ? `${phrase} *` : phrase;
}
