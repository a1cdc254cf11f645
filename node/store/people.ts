import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';

export interface ContactRow {
  peer: string;
  petname: string | null;
  addedMs: number;
  unread: number;
}

/** A name as it was first seen to belong to somebody. */
export interface Pin {
  name: string;
  phonebook: string;
  peer: string;
  seq: number;
  certificate: Uint8Array;
}

/** What others signed about themselves: handed over in a hello, or found. */
export interface PeerPapers {
  card: Uint8Array | null;
  certificate: Uint8Array | null;
}

/** Contacts, pinned names, cards and certificates, and the daemon's own small facts. */
export function peopleTable(database: DatabaseSync, chains: Chains) {
  const selectContacts = database.prepare(
    `SELECT p.peer_id AS peer, c.petname, c.added_ms AS addedMs, p.unread FROM contacts c JOIN peers p ON p.id = c.peer
     ORDER BY coalesce(c.petname, p.peer_id)`,
  );
  const upsertContact = database.prepare(
    `INSERT INTO contacts (peer, petname, added_ms) VALUES (?, ?, ?)
     ON CONFLICT (peer) DO UPDATE SET petname = coalesce(excluded.petname, petname)`,
  );
  const selectPetname = database.prepare(
    'SELECT p.peer_id AS peer FROM contacts c JOIN peers p ON p.id = c.peer WHERE c.petname = ?',
  );
  const deleteContact = database.prepare('DELETE FROM contacts WHERE peer = ?');
  const selectPins = database.prepare('SELECT name, phonebook, peer_id AS peer, seq, certificate FROM pins');
  const upsertPin = database.prepare(
    `INSERT INTO pins (name, phonebook, peer_id, seq, certificate) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (name, phonebook) DO UPDATE SET seq = excluded.seq, certificate = excluded.certificate
     WHERE peer_id = excluded.peer_id AND seq < excluded.seq`,
  );
  const selectPapers = database.prepare('SELECT card, certificate FROM peers WHERE peer_id = ?');
  const updatePapers = database.prepare(
    'UPDATE peers SET card = coalesce(?, card), certificate = coalesce(?, certificate) WHERE id = ?',
  );
  const updateAddresses = database.prepare('UPDATE peers SET addresses = ? WHERE id = ?');
  const selectAddresses = database.prepare(
    `SELECT p.peer_id AS peer, p.addresses FROM peers p LEFT JOIN contacts c ON c.peer = p.id
     WHERE p.addresses IS NOT NULL ORDER BY c.peer IS NULL, p.id DESC LIMIT ?`,
  );
  const selectMeta = database.prepare('SELECT value FROM meta WHERE key = ?');
  const upsertMeta = database.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
  const deleteMeta = database.prepare('DELETE FROM meta WHERE key = ?');

  return {
    'contacts.list': (): ContactRow[] => selectContacts.all() as unknown as ContactRow[],

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
      const holder =
        petname === null ? undefined : (selectPetname.get(petname) as { peer: string } | undefined);
      if (holder !== undefined && holder.peer !== peer) return false;
      upsertContact.run(chains.peerKey(peer), petname, nowMs);
      return true;
    },

    /** False when there is no such contact. */
    'contacts.remove': ({ peer }: { peer: string }): boolean => {
      const key = chains.findPeer(peer);
      return key !== undefined && deleteContact.run(key).changes > 0;
    },

    'pins.list': (): Pin[] => selectPins.all() as unknown as Pin[],

    /** Keeps whom a name belongs to. A pin is never moved to another peer here. */
    'pins.put': ({ name, phonebook, peer, seq, certificate }: Pin): void => {
      upsertPin.run(name, phonebook, peer, seq, certificate);
    },

    'papers.get': ({ peer }: { peer: string }): PeerPapers =>
      (selectPapers.get(peer) as unknown as PeerPapers | undefined) ?? { card: null, certificate: null },

    /** Keeps a card, a certificate or both; null leaves what is there. */
    'papers.put': ({ peer, card, certificate }: PeerPapers & { peer: string }): void => {
      updatePapers.run(card, certificate, chains.peerKey(peer));
    },

    /** Where a peer was reached before: multiaddrs in text form. */
    'addresses.put': ({ peer, addresses }: { peer: string; addresses: string[] }): void => {
      updateAddresses.run(JSON.stringify(addresses), chains.peerKey(peer));
    },

    /** Everybody an address is known of, contacts first. */
    'addresses.list': ({ limit }: { limit: number }): { peer: string; addresses: string[] }[] =>
      (selectAddresses.all(limit) as unknown as { peer: string; addresses: string }[]).map(
        ({ peer, addresses }) => ({
          peer,
          addresses: JSON.parse(addresses) as string[],
        }),
      ),

    'meta.get': ({ key }: { key: string }): Uint8Array | undefined =>
      (selectMeta.get(key) as { value: Uint8Array } | undefined)?.value,

    /** Null removes the fact. */
    'meta.put': ({ key, value }: { key: string; value: Uint8Array | null }): void => {
      if (value === null) deleteMeta.run(key);
      else upsertMeta.run(key, value);
    },
  };
}

export type PeopleOperations = ReturnType<typeof peopleTable>;
