import type { DatabaseSync } from 'node:sqlite';
import type { KeptAsked } from './asked.ts';
import type { Chains } from './chains.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** What stands between us and one other, apart from messages: one sealed row each. */
export const STANDINGS_SCHEMA = `
  CREATE TABLE standings (peer INTEGER PRIMARY KEY REFERENCES peers, standing BLOB NOT NULL) STRICT;
`;

/** As it is written to disk, so fields are only added. Bytes are in base64. */
export interface Standing {
  /** `unblocked` stays until every mailbox that was told of the block has been told that it is over. */
  decision?: {
    kind: 'blocked' | 'declined' | 'unblocked';
    sinceMs: number;
    /** What was declined. */
    asked?: KeptAsked;
  };
  /** Peer ids of mailboxes of ours that may hold the block. */
  mailboxes?: string[];
  /** Their right to deposit for us; `owed` until they were handed it. */
  given?: { capability: string; issuedMs: number; owed: boolean };
  /** Our right to deposit for them. */
  kept?: string;
  /** Of an invite of theirs, until they are known to have taken it; `owed` until it was left with them once. */
  token?: { token: string; owed: boolean };
  /** Since when our messages wait for their person to accept us. */
  waitsMs?: number;
}

export interface StandingRow {
  peer: string;
  standing: Standing;
}

/** For so long a stranger who was declined is not asked about again. */
export const DECLINED_FOR_MS = 30 * 24 * 3_600_000;

/** The standings of a store, all in memory: 400 bytes of each person that there is something to say of. */
export interface Standings {
  of(peer: number): Standing;
  /** Changes some of it; a field that is undefined goes. */
  set(peer: number, changes: { [Field in keyof Standing]: Standing[Field] | undefined }): void;
  isBlocked(peer: number): boolean;
  isDeclined(peer: number, nowMs: number): boolean;
  all(): IterableIterator<[peer: number, standing: Standing]>;
  /** Forgets what is in memory. */
  rolledBack(): void;
}

export function openStandings(database: DatabaseSync, sealed: SealedColumns): Standings {
  const selectAll = database.prepare('SELECT peer, standing FROM standings ORDER BY peer');
  const upsert = database.prepare('INSERT OR REPLACE INTO standings (peer, standing) VALUES (?, ?)');
  const remove = database.prepare('DELETE FROM standings WHERE peer = ?');
  const NONE: Standing = {};
  let known: Map<number, Standing> | undefined;

  const standings = (): Map<number, Standing> =>
    (known ??= new Map(
      (selectAll.all() as unknown as { peer: number; standing: Uint8Array }[]).map(({ peer, standing }) => [
        peer,
        JSON.parse(sealed.standing.openText(standing, peer)) as Standing,
      ]),
    ));

  return {
    of: (peer) => standings().get(peer) ?? NONE,

    set(peer, changes) {
      const changed = Object.entries({ ...standings().get(peer), ...changes }).filter(
        ([, value]) => value !== undefined,
      );
      if (changed.length === 0) {
        remove.run(peer);
        standings().delete(peer);
        return;
      }
      const standing = Object.fromEntries(changed) as Standing;
      upsert.run(peer, sealed.standing.sealText(JSON.stringify(standing), peer));
      standings().set(peer, standing);
    },

    isBlocked: (peer) => standings().get(peer)?.decision?.kind === 'blocked',

    isDeclined(peer, nowMs) {
      const decision = standings().get(peer)?.decision;
      // A clock set back far must not make it last.
      return decision?.kind === 'declined' && Math.abs(nowMs - decision.sinceMs) < DECLINED_FOR_MS;
    },

    all: () => standings().entries(),

    rolledBack() {
      known = undefined;
    },
  };
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** Whom we know, in a store: contacts, and who has a history with us. */
export function knownPeers(database: DatabaseSync): (peer: number) => boolean {
  const select = database.prepare(
    'SELECT 1 FROM contacts WHERE peer = ?1 UNION ALL SELECT 1 FROM chains WHERE peer = ?1 LIMIT 1',
  );
  return (peer) => select.get(peer) !== undefined;
}

/** Blocks, rights to deposit, tokens to show, and who keeps us waiting. */
export function standingsTable(
  database: DatabaseSync,
  chains: Chains,
  standings: Standings,
  isKnown: (peer: number) => boolean,
) {
  const deleteRequest = database.prepare('DELETE FROM requests WHERE peer = ?');
  const selectRequest = database.prepare('SELECT 1 FROM requests WHERE peer = ?');

  return {
    'standings.list': (): StandingRow[] =>
      Array.from(standings.all(), ([peer, standing]) => ({ peer: chains.peerIdOf(peer), standing })),

    /** Undefined when there is nothing to say of a peer. */
    'standings.of': ({ peer: peerId }: { peer: string }): Standing | undefined => {
      const peer = chains.findPeer(peerId);
      const standing = peer === undefined ? undefined : standings.of(peer);
      return standing === undefined || Object.keys(standing).length === 0 ? undefined : standing;
    },

    /** Nothing more is taken of a peer, and what it asked for is forgotten. The history stays. */
    'standings.block': ({ peer: peerId, nowMs }: { peer: string; nowMs: number }): void => {
      const peer = chains.peerKey(peerId);
      deleteRequest.run(peer);
      if (standings.isBlocked(peer)) return;
      standings.set(peer, { decision: { kind: 'blocked', sinceMs: nowMs }, given: undefined });
    },

    /** False when it was not blocked. */
    'standings.unblock': ({ peer: peerId, nowMs }: { peer: string; nowMs: number }): boolean => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined || !standings.isBlocked(peer)) return false;
      const isTold = (standings.of(peer).mailboxes ?? []).length > 0;
      standings.set(peer, { decision: isTold ? { kind: 'unblocked', sinceMs: nowMs } : undefined });
      return true;
    },

    /** Notes that a mailbox may hold the block of a peer, or that it does not any more. */
    'standings.mailbox': ({
      peer: peerId,
      mailbox,
      holds,
    }: {
      peer: string;
      mailbox: string;
      holds: boolean;
    }): void => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return;
      const { decision, mailboxes: before = [] } = standings.of(peer);
      if (before.includes(mailbox) === holds) return;
      const mailboxes = holds ? [...before, mailbox] : before.filter((other) => other !== mailbox);
      if (mailboxes.length > 0) standings.set(peer, { mailboxes });
      else
        standings.set(peer, {
          mailboxes: undefined,
          decision: decision?.kind === 'unblocked' ? undefined : decision,
        });
    },

    /** A right to deposit that the peer is to be handed. Nothing for who is blocked. */
    'standings.give': ({
      peer: peerId,
      capability,
      issuedMs,
    }: {
      peer: string;
      capability: Uint8Array;
      issuedMs: number;
    }): void => {
      const peer = chains.peerKey(peerId);
      if (standings.isBlocked(peer)) return;
      standings.set(peer, { given: { capability: toBase64(capability), issuedMs, owed: true } });
    },

    /**
     * A right to deposit that the peer gave us: so it has taken a token of ours, and accepted us. Nothing is kept of who is
     * blocked or unknown: then false.
     */
    'standings.keep': ({ peer: peerId, capability }: { peer: string; capability: Uint8Array }): boolean => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined || standings.isBlocked(peer)) return false;
      if (!isKnown(peer) && selectRequest.get(peer) === undefined) return false;
      const kept = toBase64(capability);
      const { kept: before, token, waitsMs } = standings.of(peer);
      if (kept === before && token === undefined && waitsMs === undefined) return true;
      standings.set(peer, { kept, token: undefined, waitsMs: undefined });
      return true;
    },

    /** A token of an invite of the peer's, to be shown to it. */
    'standings.show-token': ({ peer: peerId, token }: { peer: string; token: string }): void => {
      standings.set(chains.peerKey(peerId), { token: { token, owed: true } });
    },

    /** The peer says that our messages wait for its person, or does not say so any more: null. */
    'standings.waits': ({ peer: peerId, sinceMs }: { peer: string; sinceMs: number | null }): void => {
      const peer = chains.findPeer(peerId);
      // To whom we have said nothing, nothing of ours waits.
      if (peer === undefined || !isKnown(peer)) return;
      standings.set(peer, { waitsMs: sinceMs ?? undefined });
    },
  };
}

export type StandingsOperations = ReturnType<typeof standingsTable>;
