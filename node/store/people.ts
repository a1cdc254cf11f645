import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import { decodePin, encodePin } from './pin.ts';
import type { Pin } from './pin.ts';
import type { SealedColumns } from './sealed-columns.ts';

export type { Pin } from './pin.ts';

export interface ContactRow {
  peer: string;
  petname: string | null;
  addedMs: number;
  unread: number;
}

/** What others signed about themselves: handed over in a hello, or found. */
export interface PeerPapers {
  card: Uint8Array | null;
  certificate: Uint8Array | null;
}

/** Contacts, pinned names, cards and certificates, and the daemon's own small facts. */
export function peopleTable(database: DatabaseSync, sealed: SealedColumns, chains: Chains) {
  const selectContacts = database.prepare(
    'SELECT c.peer, c.petname, c.added_ms AS addedMs, p.unread FROM contacts c JOIN peers p ON p.id = c.peer',
  );
  const upsertContact = database.prepare(
    `INSERT INTO contacts (peer, petname_index, petname, added_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (peer) DO UPDATE SET petname_index = coalesce(excluded.petname_index, petname_index),
       petname = coalesce(excluded.petname, petname)`,
  );
  const selectPetname = database.prepare('SELECT peer FROM contacts WHERE petname_index = ?');
  const deleteContact = database.prepare('DELETE FROM contacts WHERE peer = ?');
  const selectPins = database.prepare('SELECT place_index AS place, pin FROM pins ORDER BY id');
  const selectPin = database.prepare('SELECT pin FROM pins WHERE place_index = ?');
  const upsertPin = database.prepare(
    `INSERT INTO pins (place_index, name_index, pin) VALUES (?, ?, ?)
     ON CONFLICT (place_index) DO UPDATE SET pin = excluded.pin`,
  );
  const selectPapers = database.prepare('SELECT card, certificate FROM peers WHERE id = ?');
  const updatePapers = database.prepare(
    'UPDATE peers SET card = coalesce(?, card), certificate = coalesce(?, certificate) WHERE id = ?',
  );
  const updateAddresses = database.prepare('UPDATE peers SET addresses = ? WHERE id = ?');
  const selectAddresses = database.prepare(
    `SELECT p.id, p.addresses FROM peers p LEFT JOIN contacts c ON c.peer = p.id
     WHERE p.addresses IS NOT NULL ORDER BY c.peer IS NULL, p.id DESC LIMIT ?`,
  );
  const selectMeta = database.prepare('SELECT value FROM meta WHERE key = ?');
  const upsertMeta = database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
  const deleteMeta = database.prepare('DELETE FROM meta WHERE key = ?');

  const pinOf = (bytes: Uint8Array, place: Uint8Array): Pin => decodePin(sealed.pin.open(bytes, place));

  return {
    /** Everybody, by petname, or by peer id where there is none. */
    'contacts.list': (): ContactRow[] =>
      (
        selectContacts.all() as unknown as {
          peer: number;
          petname: Uint8Array | null;
          addedMs: number;
          unread: number;
        }[]
      )
        .map(({ peer, petname, addedMs, unread }) => ({
          peer: chains.peerIdOf(peer),
          petname: petname === null ? null : sealed.petname.openText(petname, peer),
          addedMs,
          unread,
        }))
        .sort((a, b) => ((a.petname ?? a.peer) < (b.petname ?? b.peer) ? -1 : 1)),

    /** Adds a contact, or names one. False when the petname is somebody else's. */
    'contacts.add': ({
      peer,
      petname,
      nowMs,
    }: {
      peer: string;
      petname: string | null;
      nowMs: number;
    }): boolean => {
      const key = chains.peerKey(peer);
      const index = petname === null ? null : sealed.petnameIndex(petname);
      const holder = index === null ? undefined : selectPetname.get(index)?.['peer'];
      if (holder !== undefined && holder !== key) return false;
      upsertContact.run(key, index, petname === null ? null : sealed.petname.sealText(petname, key), nowMs);
      return true;
    },

    /** False when there is no such contact. */
    'contacts.remove': ({ peer }: { peer: string }): boolean => {
      const key = chains.findPeer(peer);
      return key !== undefined && deleteContact.run(key).changes > 0;
    },

    'pins.list': (): Pin[] =>
      (selectPins.all() as unknown as { place: Uint8Array; pin: Uint8Array }[]).map(({ place, pin }) =>
        pinOf(pin, place),
      ),

    /** Keeps whom a name belongs to. A pin is never moved to another peer here. */
    'pins.put': (pin: Pin): void => {
      const place = sealed.placeIndex(pin.name, pin.phonebook);
      const found = selectPin.get(place);
      const known = found === undefined ? undefined : pinOf(found['pin'] as Uint8Array, place);
      if (known !== undefined && (known.peer !== pin.peer || known.seq >= pin.seq)) return;
      upsertPin.run(place, sealed.nameIndex(pin.name), sealed.pin.seal(encodePin(pin), place));
    },

    'papers.get': ({ peer }: { peer: string }): PeerPapers => {
      const key = chains.findPeer(peer);
      if (key === undefined) return { card: null, certificate: null };
      const { card, certificate } = selectPapers.get(key) as unknown as PeerPapers;
      return {
        card: card === null ? null : sealed.card.open(card, key),
        certificate: certificate === null ? null : sealed.certificate.open(certificate, key),
      };
    },

    /** Keeps a card, a certificate or both; null leaves what is there. */
    'papers.put': ({ peer, card, certificate }: PeerPapers & { peer: string }): void => {
      const key = chains.peerKey(peer);
      updatePapers.run(
        card === null ? null : sealed.card.seal(card, key),
        certificate === null ? null : sealed.certificate.seal(certificate, key),
        key,
      );
    },

    /** Where a peer was reached before: multiaddrs in text form. */
    'addresses.put': ({ peer, addresses }: { peer: string; addresses: string[] }): void => {
      const key = chains.peerKey(peer);
      updateAddresses.run(sealed.addresses.sealText(JSON.stringify(addresses), key), key);
    },

    /** Everybody an address is known of, contacts first. */
    'addresses.list': ({ limit }: { limit: number }): { peer: string; addresses: string[] }[] =>
      (selectAddresses.all(limit) as unknown as { id: number; addresses: Uint8Array }[]).map(
        ({ id, addresses }) => ({
          peer: chains.peerIdOf(id),
          addresses: JSON.parse(sealed.addresses.openText(addresses, id)) as string[],
        }),
      ),

    'meta.get': ({ key }: { key: string }): Uint8Array | undefined => {
      const index = sealed.metaIndex(key);
      const found = selectMeta.get(index) as { value: Uint8Array } | undefined;
      return found === undefined ? undefined : sealed.meta.open(found.value, index);
    },

    /** Null removes the fact. */
    'meta.put': ({ key, value }: { key: string; value: Uint8Array | null }): void => {
      const index = sealed.metaIndex(key);
      if (value === null) deleteMeta.run(index);
      else upsertMeta.run(index, sealed.meta.seal(value, index));
    },
  };
}

export type PeopleOperations = ReturnType<typeof peopleTable>;
