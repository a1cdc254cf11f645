import type { DatabaseSync } from 'node:sqlite';
import { DataKeyError } from '../at-rest/data-key.ts';
import { encodePin } from './pin.ts';
import type { Pin } from './pin.ts';
import type { SealedColumn, SealedColumns } from './sealed-columns.ts';

/** Rows sealed at a time: the longest messages take 12 MiB. */
const PAGE = 256;

/** Says that a key is the one that a store is sealed with. */
const PROOF_KEY = 'sealed with';
const PROOF = 'this data key';

/** The tables that had content in columns of other types, or in keys. */
const SEALED_TABLES = `
  CREATE TABLE sealed_peers (
    id INTEGER PRIMARY KEY,
    peer_id_index BLOB NOT NULL UNIQUE,
    peer_id BLOB NOT NULL,
    card BLOB,
    certificate BLOB,
    addresses BLOB,
    unread INTEGER NOT NULL DEFAULT 0,
    read_row INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE sealed_contacts (
    peer INTEGER PRIMARY KEY REFERENCES peers,
    petname_index BLOB UNIQUE,
    petname BLOB,
    added_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE sealed_pins (
    id INTEGER PRIMARY KEY,
    place_index BLOB NOT NULL UNIQUE,
    name_index BLOB NOT NULL,
    pin BLOB NOT NULL
  ) STRICT;
  CREATE TABLE sealed_key_changes (
    id INTEGER PRIMARY KEY,
    change_index BLOB NOT NULL UNIQUE,
    change BLOB NOT NULL,
    seen_ms INTEGER NOT NULL,
    decided INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE sealed_verifications (peer INTEGER PRIMARY KEY REFERENCES peers, mark BLOB NOT NULL) STRICT;
  CREATE TABLE sealed_failures (row INTEGER PRIMARY KEY REFERENCES messages, reason BLOB NOT NULL) STRICT;
  CREATE TABLE sealed_meta (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
`;

// The indexes have what a salvage needs of a row whose page is lost.
const REPLACE_TABLES = `
  DROP TABLE contacts;
  DROP TABLE failures;
  DROP TABLE pins;
  DROP TABLE key_changes;
  DROP TABLE verifications;
  DROP TABLE meta;
  DROP TABLE peers;
  ALTER TABLE sealed_peers RENAME TO peers;
  ALTER TABLE sealed_contacts RENAME TO contacts;
  ALTER TABLE sealed_pins RENAME TO pins;
  ALTER TABLE sealed_key_changes RENAME TO key_changes;
  ALTER TABLE sealed_verifications RENAME TO verifications;
  ALTER TABLE sealed_failures RENAME TO failures;
  ALTER TABLE sealed_meta RENAME TO meta;
  CREATE INDEX peers_by_peer_id ON peers (peer_id_index, peer_id);
  CREATE INDEX contacts_by_petname ON contacts (petname_index, petname);
  CREATE INDEX pins_by_name ON pins (name_index);
`;

interface OpenPeer {
  id: number;
  peer_id: string;
  card: Uint8Array | null;
  certificate: Uint8Array | null;
  addresses: string | null;
  unread: number;
  read_row: number;
}

/** Seals all of a store that says who or what. Inside a transaction. */
export function sealStore(database: DatabaseSync, sealed: SealedColumns): void {
  const rows = <Row>(sql: string): Row[] => database.prepare(sql).all() as unknown as Row[];
  database.exec(SEALED_TABLES);

  const insertPeer = database.prepare('INSERT INTO sealed_peers VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const orNull = (
    value: Uint8Array | string | null,
    column: SealedColumn<[number]>,
    row: number,
  ): Uint8Array | null => (value === null ? null : column.seal(Buffer.from(value as string), row));
  for (const peer of rows<OpenPeer>('SELECT * FROM peers')) {
    insertPeer.run(
      peer.id,
      sealed.peerIdIndex(peer.peer_id),
      sealed.peerId.sealText(peer.peer_id, peer.id),
      orNull(peer.card, sealed.card, peer.id),
      orNull(peer.certificate, sealed.certificate, peer.id),
      orNull(peer.addresses, sealed.addresses, peer.id),
      peer.unread,
      peer.read_row,
    );
  }
  const insertContact = database.prepare('INSERT INTO sealed_contacts VALUES (?, ?, ?, ?)');
  for (const { peer, petname, added_ms: addedMs } of rows<{
    peer: number;
    petname: string | null;
    added_ms: number;
  }>('SELECT * FROM contacts')) {
    const index = petname === null ? null : sealed.petnameIndex(petname);
    insertContact.run(peer, index, orNull(petname, sealed.petname, peer), addedMs);
  }
  const insertPin = database.prepare(
    'INSERT INTO sealed_pins (place_index, name_index, pin) VALUES (?, ?, ?)',
  );
  for (const pin of rows<Pin>('SELECT name, phonebook, peer_id AS peer, seq, certificate FROM pins')) {
    const index = sealed.placeIndex(pin.name, pin.phonebook);
    insertPin.run(index, sealed.nameIndex(pin.name), sealed.pin.seal(encodePin(pin), index));
  }
  const insertChange = database.prepare(
    'INSERT INTO sealed_key_changes (change_index, change, seen_ms, decided) VALUES (?, ?, ?, ?)',
  );
  for (const change of rows<Pin & { seenMs: number; decided: number }>(
    'SELECT name, phonebook, peer_id AS peer, seq, certificate, seen_ms AS seenMs, decided FROM key_changes',
  )) {
    const index = sealed.changeIndex(change.name, change.peer);
    const bytes = sealed.keyChange.seal(encodePin(change), index, change.decided);
    insertChange.run(index, bytes, change.seenMs, change.decided);
  }
  const insertMark = database.prepare('INSERT INTO sealed_verifications VALUES (?, ?)');
  for (const { peer, verifiedMs } of rows<{ peer: number; verifiedMs: number }>(
    'SELECT peer, verified_ms AS verifiedMs FROM verifications',
  ))
    insertMark.run(peer, sealed.mark.sealText(String(verifiedMs), peer));
  const insertFailure = database.prepare('INSERT INTO sealed_failures VALUES (?, ?)');
  for (const { row, reason } of rows<{ row: number; reason: string }>('SELECT * FROM failures'))
    insertFailure.run(row, sealed.reason.sealText(reason, row));
  const insertMeta = database.prepare('INSERT INTO sealed_meta VALUES (?, ?)');
  for (const { key, value } of rows<{ key: string; value: Uint8Array }>('SELECT * FROM meta')) {
    const index = sealed.metaIndex(key);
    insertMeta.run(index, sealed.meta.seal(value, index));
  }

  const setHash = database.prepare('UPDATE chains SET last_hash = ? WHERE id = ?');
  for (const { id, last_hash: hash } of rows<{ id: number; last_hash: Uint8Array }>(
    'SELECT id, last_hash FROM chains',
  ))
    setHash.run(sealed.lastHash.seal(hash, id), id);
  sealMessages(database, sealed);

  database.exec(REPLACE_TABLES);
}

function sealMessages(database: DatabaseSync, sealed: SealedColumns): void {
  const selectPage = database.prepare(
    `SELECT row, chain, counter, id, body FROM messages WHERE row > ? ORDER BY row LIMIT ${PAGE}`,
  );
  const setBody = database.prepare('UPDATE messages SET body = ? WHERE row = ?');
  for (let after = 0; ;) {
    const page = selectPage.all(after) as unknown as {
      row: number;
      chain: number;
      counter: number;
      id: Uint8Array;
      body: Uint8Array;
    }[];
    for (const { row, chain, counter, id, body } of page)
      setBody.run(sealed.body.seal(body, chain, counter, id), row);
    if (page.length < PAGE) break;
    after = page.at(-1)!.row;
  }
  const places = database.prepare('SELECT chain, counter, body FROM former_places').all() as unknown as {
    chain: number;
    counter: number;
    body: Uint8Array;
  }[];
  const setFormer = database.prepare('UPDATE former_places SET body = ? WHERE chain = ? AND counter = ?');
  for (const { chain, counter, body } of places)
    setFormer.run(sealed.formerBody.seal(body, chain, counter), chain, counter);
}

function prove(database: DatabaseSync, sealed: SealedColumns): void {
  const key = sealed.metaIndex(PROOF_KEY);
  database
    .prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)')
    .run(key, sealed.meta.sealText(PROOF, key));
}

/**
 * Makes sure that a store is sealed with this key. Where the proof of it is not there or damaged, one person or message
 * that it opens is proof enough, and the proof is made.
 *
 * @throws DataKeyError `foreign`
 */
export function checkDataKey(database: DatabaseSync, sealed: SealedColumns): void {
  const opens = (open: () => unknown): boolean => {
    try {
      open();
      return true;
    } catch {
      return false;
    }
  };
  const key = sealed.metaIndex(PROOF_KEY);
  const found = database.prepare('SELECT value FROM meta WHERE key = ?').get(key);
  if (found !== undefined && opens(() => sealed.meta.open(found['value'] as Uint8Array, key))) return;
  const peers = database.prepare('SELECT id, peer_id FROM peers ORDER BY id LIMIT ?').all(PAGE);
  const messages = database
    .prepare('SELECT chain, counter, id, body FROM messages ORDER BY row LIMIT ?')
    .all(PAGE) as unknown as { chain: number; counter: number; id: Uint8Array; body: Uint8Array }[];
  const isOurs =
    peers.some(({ id, peer_id: peerId }) =>
      opens(() => sealed.peerId.open(peerId as Uint8Array, id as number)),
    ) ||
    messages.some(({ chain, counter, id, body }) => opens(() => sealed.body.open(body, chain, counter, id)));
  const isEmpty = found === undefined && peers.length === 0 && messages.length === 0;
  if (isOurs || isEmpty) return prove(database, sealed);
  throw new DataKeyError(
    'data.key is not the key that the messages here are sealed with: put back the one that belongs to them',
    'foreign',
  );
}
