import type { DatabaseSync } from 'node:sqlite';
import { missingFrom, withoutRanges, withRanges } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { openChains } from './chains.ts';
import { chainForks } from './forks.ts';
import { dropDamagedMessages } from './hash-chains.ts';
import { mendSealed, opened } from './mend-sealed.ts';
import { decodePin } from './pin.ts';
import { INCOMING, OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';
import { checkDataKey } from './sealing.ts';

/** What is lost of one conversation. */
export interface ConversationLoss {
  peer: string;
  /** A petname or a pinned name. */
  name: string | null;
  /** Own messages. */
  own: number;
  /** Of those, the ones that had not arrived yet: the other end never gets them. */
  undelivered: number;
  /** The other's, which its node is asked for again. */
  theirs: number;
}

/** What a salvaged store lacks. */
export interface NodeLosses {
  conversations: ConversationLoss[];
  /** Messages of people whose peer id is lost, too. */
  nobodys: number;
  /** Conversations whose record of what arrived was lost: it is found out again. */
  chains: number;
  contacts: number;
}

interface ChainRow {
  id: number;
  peer: number;
  direction: number;
  lastCounter: number;
  delivered: string;
  stored: string;
  lacking: string;
}

const count = (ranges: readonly Range[]): number =>
  ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);

const intersection = (a: readonly Range[], b: readonly Range[]): Range[] =>
  withoutRanges(a, withoutRanges(a, b));

/** Ranges as a chain's row has them; undefined when they are not. */
function parseRanges(text: string): Range[] | undefined {
  try {
    const ranges = JSON.parse(text) as Range[];
    let last = 0;
    for (const range of ranges) {
      if (!Number.isSafeInteger(range.first) || !Number.isSafeInteger(range.last)) return undefined;
      if (range.first <= last || range.last < range.first) return undefined;
      ({ last } = range);
    }
    return ranges;
  } catch {
    return undefined;
  }
}

/**
 * Makes a store whole again after a salvage: what refers to something lost goes or is made anew, what can't be what
 * its author wrote goes, and each chain says what is there. What the friends have comes back by itself then: they are
 * told what is here when the two greet (docs/adr/0005-chains-of-counters.md). A chain of ours that lacks something is left
 * for a new one, as nobody could fill the gap.
 *
 * @throws DataKeyError `foreign`, before anything is taken for damaged that only has another key
 */
export function mendNodeStore(database: DatabaseSync, sealed: SealedColumns): NodeLosses {
  const rows = <Row>(sql: string): Row[] => database.prepare(sql).all() as unknown as Row[];
  const number = (sql: string): number => (rows<{ n: number }>(sql)[0] as { n: number }).n;
  const lost = new Map<string, { own: number; undelivered: number; theirs: number }>();
  const lossOf = (peer: number): { own: number; undelivered: number; theirs: number } => {
    const row = database.prepare('SELECT peer_id FROM peers WHERE id = ?').get(peer);
    const peerId = sealed.peerId.openText(row!['peer_id'] as Uint8Array, peer);
    let loss = lost.get(peerId);
    if (loss === undefined) lost.set(peerId, (loss = { own: 0, undelivered: 0, theirs: 0 }));
    return loss;
  };

  checkDataKey(database, sealed);
  mendSealed(database, sealed);
  const nobodys = number('SELECT count(*) AS n FROM messages WHERE peer NOT IN (SELECT id FROM peers)');
  const contacts = number('SELECT count(*) AS n FROM contacts WHERE peer NOT IN (SELECT id FROM peers)');
  database.exec(`
    DELETE FROM messages WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM chains WHERE peer NOT IN (SELECT id FROM peers) OR direction NOT IN (${OUTGOING}, ${INCOMING});
    DELETE FROM contacts WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM verifications WHERE peer NOT IN (SELECT id FROM peers);
    -- Of what is saved nobody knows how old it is: nothing is sealed with keys that may have been used.
    DELETE FROM outgoing_sessions;
    DELETE FROM received_prekeys;
    DELETE FROM incoming_sessions WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM session_notices WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM own_prekeys WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM standings WHERE peer NOT IN (SELECT id FROM peers);
    DELETE FROM requests WHERE peer NOT IN (SELECT id FROM peers);
  `);

  const { dropped, remade } = dropDamagedMessages(database, sealed);
  // Of rows that no page held any more, an index may know whose they were.
  const goneRows = rows<{ peer: number; direction: number | null; n: number }>(`
    SELECT p.value AS peer, d.value AS direction, count(*) AS n FROM lost_columns p
    LEFT JOIN lost_columns d ON d.of_table = p.of_table AND d.row = p.row AND d.name = 'direction'
    WHERE p.of_table = 'messages' AND p.name = 'peer' AND p.value IN (SELECT id FROM peers)
      AND p.row NOT IN (SELECT row FROM messages)
    GROUP BY p.value, d.value`);
  for (const { peer, direction, n } of [...goneRows, ...dropped])
    lossOf(peer)[direction === INCOMING ? 'theirs' : 'own'] += n;

  database.exec(`
    DELETE FROM failures WHERE row NOT IN (SELECT row FROM messages);
    DELETE FROM former_places WHERE row NOT IN (SELECT row FROM messages) OR chain NOT IN (SELECT id FROM chains);
  `);

  const selectCounters = database.prepare(
    `SELECT counter FROM messages WHERE chain = :chain
     UNION SELECT counter FROM former_places WHERE chain = :chain ORDER BY counter`,
  );
  const selectTop = database.prepare(
    `SELECT m.clock_ms, m.clock_count FROM messages m WHERE m.chain = :chain AND m.counter = :counter
     UNION ALL SELECT m.clock_ms, m.clock_count FROM former_places f JOIN messages m ON m.row = f.row
     WHERE f.chain = :chain AND f.counter = :counter LIMIT 1`,
  );
  const update = database.prepare('UPDATE chains SET delivered = ?, stored = ?, lacking = ? WHERE id = ?');
  const setClock = database.prepare('UPDATE chains SET clock_ms = ?, clock_count = ? WHERE id = ?');
  const toLeave: number[] = [];
  const currentOf = new Map(
    rows<{ peer: number; id: number }>(
      `SELECT peer, max(id) AS id FROM chains WHERE direction = ${OUTGOING} GROUP BY peer`,
    ).map(({ peer, id }) => [peer, id]),
  );
  for (const chain of rows<ChainRow>(
    'SELECT id, peer, direction, last_counter AS lastCounter, delivered, stored, lacking FROM chains',
  )) {
    let held: Range[] = [];
    for (const { counter } of selectCounters.iterate({ chain: chain.id }))
      held = withRanges(held, [{ first: counter as number, last: counter as number }]);
    const top = held.at(-1)?.last ?? 0;
    // Of a chain that was made anew nothing is known; the other end's acknowledgements tell.
    const delivered = remade.has(chain.id) ? undefined : parseRanges(chain.delivered);
    if (chain.direction === INCOMING) {
      const loss = count(withoutRanges(delivered ?? [], held));
      if (loss > 0) lossOf(chain.peer).theirs = Math.max(lossOf(chain.peer).theirs, loss);
      update.run(JSON.stringify(held), '[]', '[]', chain.id);
      const clock = selectTop.get({ chain: chain.id, counter: top });
      if (clock !== undefined) setClock.run(clock['clock_ms']!, clock['clock_count']!, chain.id);
      continue;
    }
    const gone = missingFrom(held, 1, chain.lastCounter);
    // In one that was left, the gaps are what has moved, and nothing waits.
    const isCurrent = currentOf.get(chain.peer) === chain.id;
    if (isCurrent && gone.length > 0) {
      const loss = lossOf(chain.peer);
      loss.own = Math.max(loss.own, count(gone));
      if (delivered !== undefined) {
        loss.undelivered += count(withoutRanges(gone, delivered));
        toLeave.push(chain.id);
      }
    }
    const all = [{ first: 1, last: chain.lastCounter }];
    const own = isCurrent ? intersection(delivered ?? gone, all) : withRanges([], all);
    update.run(
      JSON.stringify(chain.lastCounter > 0 ? own : []),
      JSON.stringify(intersection(parseRanges(chain.stored) ?? [], all)),
      // What is not here can't be sent again.
      JSON.stringify(intersection(parseRanges(chain.lacking) ?? [], held)),
      chain.id,
    );
  }
  database.exec(`
    UPDATE chains SET read_to = min(read_to, last_counter), stored_ms = max(stored_ms, 0);
    UPDATE peers SET unread = (
      SELECT count(*) FROM messages m WHERE m.peer = peers.id AND m.direction = ${INCOMING} AND m.row > peers.read_row);
  `);

  const chains = openChains(database, sealed);
  const leave = chainForks(database, sealed, chains);
  for (const id of toLeave) {
    const chain = chains.byId(id);
    if (leave(chain) !== undefined) continue;
    chain.delivered = withRanges(chain.delivered, [{ first: 1, last: chain.lastCounter }]);
    chains.touch(chain);
    chains.flush();
  }

  const selectPetname = database.prepare('SELECT petname FROM contacts WHERE peer = ?');
  const pins = rows<{ place: Uint8Array; pin: Uint8Array }>('SELECT place_index AS place, pin FROM pins')
    .map(({ place, pin }) => opened(() => decodePin(sealed.pin.open(pin, place))))
    .filter((pin) => pin !== undefined);
  const nameOf = (peerId: string): string | null => {
    const key = chains.findPeer(peerId)!;
    const petname = selectPetname.get(key)?.['petname'] as Uint8Array | null | undefined;
    if (petname != null) return sealed.petname.openText(petname, key);
    return pins.find(({ peer }) => peer === peerId)?.name ?? null;
  };
  return {
    conversations: Array.from(lost, ([peer, loss]) => ({
      peer,
      name: nameOf(peer),
      ...loss,
    })),
    nobodys,
    chains: remade.size,
    contacts,
  };
}
