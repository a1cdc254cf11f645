import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { SealedColumn, SealedColumns } from './sealed-columns.ts';

/** What a salvaged store says of a failure whose reason can't be read. */
const REASON_LOST = 'the reason is lost';

type Row = Record<string, SQLInputValue>;

/** What can be opened; undefined for what can't. */
export function opened<Value>(open: () => Value): Value | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}

/**
 * Puts back people that a salvage knows from an index alone, and leaves out what is not what was written there: people
 * without a peer id go, others lose what is damaged of theirs. Messages and chains are not looked at.
 */
export function mendSealed(database: DatabaseSync, sealed: SealedColumns): void {
  const rows = (sql: string): Row[] => database.prepare(sql).all();
  const run = (sql: string, ...values: SQLInputValue[]): void => void database.prepare(sql).run(...values);
  /** Of rows that no page held any more, what an index has of a column: as it was in an older version, or sealed. */
  const lost = (table: string, column: string): { row: number; value: SQLInputValue }[] =>
    database
      .prepare('SELECT row, value FROM lost_columns WHERE of_table = ? AND name = ?')
      .all(table, column) as unknown as { row: number; value: SQLInputValue }[];
  const textOf = (value: SQLInputValue, open: (bytes: Uint8Array) => string): string | undefined =>
    typeof value === 'string' ? value : opened(() => open(value as Uint8Array));

  for (const { row, value } of lost('peers', 'peer_id')) {
    const peerId = textOf(value, (bytes) => sealed.peerId.openText(bytes, row));
    if (peerId === undefined) continue;
    // Nothing of theirs counts as new.
    run(
      `INSERT OR IGNORE INTO peers (id, peer_id_index, peer_id, read_row)
       SELECT ?, ?, ?, coalesce(max(row), 0) FROM messages`,
      row,
      sealed.peerIdIndex(peerId),
      sealed.peerId.sealText(peerId, row),
    );
  }
  for (const { row, value } of lost('contacts', 'petname')) {
    const petname = value === null ? null : textOf(value, (bytes) => sealed.petname.openText(bytes, row));
    run(
      `INSERT OR IGNORE INTO contacts (peer, petname_index, petname, added_ms)
       SELECT ?, ?, ?, unixepoch() * 1000 WHERE EXISTS (SELECT 1 FROM peers WHERE id = ?)`,
      row,
      petname == null ? null : sealed.petnameIndex(petname),
      petname == null ? null : sealed.petname.sealText(petname, row),
      row,
    );
  }

  const isOpen = (value: SQLInputValue | undefined, open: (bytes: Uint8Array) => unknown): boolean =>
    value === null || opened(() => open(value as Uint8Array)) !== undefined;
  for (const peer of rows('SELECT id, peer_id, card, certificate, addresses FROM peers')) {
    const id = peer['id'] as number;
    if (!isOpen(peer['peer_id'], (bytes) => sealed.peerId.open(bytes, id))) {
      run('DELETE FROM peers WHERE id = ?', id);
      continue;
    }
    if (!isOpen(peer['card'], (bytes) => sealed.card.open(bytes, id)))
      run('UPDATE peers SET card = NULL WHERE id = ?', id);
    if (!isOpen(peer['certificate'], (bytes) => sealed.certificate.open(bytes, id)))
      run('UPDATE peers SET certificate = NULL WHERE id = ?', id);
    if (!isOpen(peer['addresses'], (bytes) => JSON.parse(sealed.addresses.openText(bytes, id))))
      run('UPDATE peers SET addresses = NULL WHERE id = ?', id);
  }
  for (const { peer, petname } of rows('SELECT peer, petname FROM contacts')) {
    if (!isOpen(petname, (bytes) => sealed.petname.open(bytes, peer as number)))
      run('UPDATE contacts SET petname = NULL, petname_index = NULL WHERE peer = ?', peer!);
  }
  for (const { id, place, pin } of rows('SELECT id, place_index AS place, pin FROM pins')) {
    if (!isOpen(pin, (bytes) => sealed.pin.open(bytes, place as Uint8Array)))
      run('DELETE FROM pins WHERE id = ?', id!);
  }
  for (const { id, place, change, decided } of rows(
    'SELECT id, change_index AS place, change, decided FROM key_changes',
  )) {
    if (!isOpen(change, (bytes) => sealed.keyChange.open(bytes, place as Uint8Array, decided as number)))
      run('DELETE FROM key_changes WHERE id = ?', id!);
  }
  for (const { peer, mark } of rows('SELECT peer, mark FROM verifications')) {
    if (!isOpen(mark, (bytes) => sealed.mark.open(bytes, peer as number)))
      run('DELETE FROM verifications WHERE peer = ?', peer!);
  }
  // Without them somebody is neither blocked nor waited for, and an invite is one that nobody can come in with.
  const sealedRows: [table: string, key: string, value: string, column: SealedColumn<[number]>][] = [
    ['standings', 'peer', 'standing', sealed.standing],
    ['requests', 'peer', 'body', sealed.request],
    ['invites', 'id', 'invite', sealed.invite],
  ];
  for (const [table, key, value, column] of sealedRows) {
    for (const row of rows(`SELECT ${key}, ${value} FROM ${table}`)) {
      if (!isOpen(row[value], (bytes) => column.open(bytes, row[key] as number)))
        run(`DELETE FROM ${table} WHERE ${key} = ?`, row[key]!);
    }
  }
  for (const { row, reason } of rows('SELECT row, reason FROM failures')) {
    if (isOpen(reason, (bytes) => sealed.reason.open(bytes, row as number))) continue;
    const unknown = sealed.reason.sealText(REASON_LOST, row as number);
    run('UPDATE failures SET reason = ? WHERE row = ?', unknown, row!);
  }
  for (const { key, value } of rows('SELECT key, value FROM meta')) {
    if (!isOpen(value, (bytes) => sealed.meta.open(bytes, key as Uint8Array)))
      run('DELETE FROM meta WHERE key = ?', key!);
  }
}
