import { timingSafeEqual } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import type { Acceptance } from './requests.ts';
import type { SealedColumns } from './sealed-columns.ts';
import type { Standings } from './standings.ts';

/** Invites that were made here. Of the token there is only the hash: who reads the store can't come in with it. */
export const INVITES_SCHEMA = `
  CREATE TABLE invites (id INTEGER PRIMARY KEY, invite BLOB NOT NULL) STRICT;
`;

/** Invites that are open at a time: more than anybody hands out, few enough to compare a token with each, in 0.2 ms. */
export const MAX_INVITES = 100;

export interface InviteRow {
  id: number;
  reusable: boolean;
  createdMs: number;
  expiresMs: number;
  /** How many people came with it. */
  uses: number;
}

/** As it is written to disk. */
interface StoredInvite extends Omit<InviteRow, 'id'> {
  /** SHA-256 of the token, in base64. */
  hash: string;
}

/**
 * What became of a token that was shown.
 *
 * - `accepted`: whoever showed it is a contact now
 * - `known`: they were known before, and the token stays as it is
 * - `void`: used, revoked, expired or never made: they are a stranger like others
 */
export type TokenUse =
  | { outcome: 'known' | 'void' }
  | ({ outcome: 'accepted' } & Omit<Acceptance, 'outcome'>);

/** Invites: made, listed, used, taken back. */
export function invitesTable(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
  standings: Standings,
  isKnown: (peer: number) => boolean,
  accept: (given: { peer: string; petname: null; nowMs: number }) => Acceptance,
) {
  const selectAll = database.prepare('SELECT id, invite FROM invites ORDER BY id');
  const selectNew = database.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM invites');
  const upsert = database.prepare('INSERT OR REPLACE INTO invites (id, invite) VALUES (?, ?)');
  const remove = database.prepare('DELETE FROM invites WHERE id = ?');

  const all = (): (StoredInvite & { id: number })[] =>
    (selectAll.all() as unknown as { id: number; invite: Uint8Array }[]).map(({ id, invite }) => ({
      ...(JSON.parse(sealed.invite.openText(invite, id)) as StoredInvite),
      id,
    }));

  const put = ({ id, ...invite }: StoredInvite & { id: number }): void =>
    void upsert.run(id, sealed.invite.sealText(JSON.stringify(invite), id));

  /** Used up or expired: of no use to anybody. */
  const isOver = ({ reusable, uses, expiresMs }: StoredInvite, nowMs: number): boolean =>
    expiresMs <= nowMs || (!reusable && uses > 0);

  return {
    /**
     * Keeps a new invite and answers its number; those that are over are forgotten. Undefined when there are too many.
     */
    'invites.add': ({
      hash,
      reusable,
      expiresMs,
      nowMs,
    }: {
      hash: Uint8Array;
      reusable: boolean;
      expiresMs: number;
      nowMs: number;
    }): number | undefined => {
      const invites = all();
      const over = invites.filter((invite) => isOver(invite, nowMs));
      if (invites.length - over.length >= MAX_INVITES) return undefined;
      // Before the others go, so that its number was never another's who may still be asked for.
      const { id } = selectNew.get() as { id: number };
      for (const invite of over) remove.run(invite.id);
      put({ id, hash: Buffer.from(hash).toString('base64'), reusable, createdMs: nowMs, expiresMs, uses: 0 });
      return id;
    },

    /** Those that somebody can still come in with. */
    'invites.list': ({ nowMs }: { nowMs: number }): InviteRow[] =>
      all()
        .filter((invite) => !isOver(invite, nowMs))
        .map(({ id, reusable, createdMs, expiresMs, uses }) => ({
          id,
          reusable,
          createdMs,
          expiresMs,
          uses,
        })),

    /** False when there is no such invite. */
    'invites.revoke': ({ id }: { id: number }): boolean => remove.run(id).changes > 0,

    /** Somebody shows a token. */
    'invites.use': ({ hash, peer, nowMs }: { hash: Uint8Array; peer: string; nowMs: number }): TokenUse => {
      const key = chains.findPeer(peer);
      if (key !== undefined && standings.isBlocked(key)) return { outcome: 'void' };
      if (key !== undefined && isKnown(key)) return { outcome: 'known' };
      // Each is compared, in constant time: how long it takes says nothing of any.
      let invite: (StoredInvite & { id: number }) | undefined;
      for (const each of all()) {
        const own = Buffer.from(each.hash, 'base64');
        const isIt = own.byteLength === hash.byteLength && timingSafeEqual(own, hash);
        if (isIt && !isOver(each, nowMs)) invite = each;
      }
      if (invite === undefined) return { outcome: 'void' };
      put({ ...invite, uses: invite.uses + 1 });
      return { ...accept({ peer, petname: null, nowMs }), outcome: 'accepted' };
    },
  };
}

export type InvitesOperations = ReturnType<typeof invitesTable>;
