import type { Ed25519PrivateKey } from '@libp2p/interface';
import { InvalidContactCardError, openCard } from '../protocols/contact-card/card.ts';
import type { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { countersign, InvalidCertificateError, openProposal } from '../protocols/phonebook/certificate.ts';
import { CLOCK_TOLERANCE_MS, MAX_LIFETIME_MS } from '../protocols/phonebook/lifetimes.ts';
import type { Proposal } from '../protocols/phonebook/certificate.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import { InvalidPeerRecordError, openPeerRecord } from '../protocols/phonebook/peer-record.ts';
import { RENEW_INTERVAL_MS } from '../protocols/phonebook/protocol.ts';
import type {
  Decision,
  ListPage,
  ListQuery,
  OwnName,
  PhonebookDecisions,
  PhonebookErrorCode,
  PresenceUpdate,
  Refusal,
  ResolvedRow,
  ResolveKey,
} from '../protocols/phonebook/protocol.ts';
import type { GroupOf } from './peer-groups.ts';
import { sharedRate } from './peer-rate.ts';
import type { PeerRate } from './peer-rate.ts';
import { nameCache } from './name-cache.ts';
import type { NameOperations, NameRow } from './name-table.ts';
import { PHONEBOOK_LIMITS } from './phonebook-limits.ts';
import type { PhonebookLimits } from './phonebook-limits.ts';
import { Presence } from './presence.ts';
import type { PresenceDetails, PresenceRow } from './presence.ts';

/** What is known of a peer that stays where it is, is written again this often: its card lasts longer then. */
const SAVE_INTERVAL_MS = 60 * 60 * 1000;

export interface PhonebookInit {
  store: Pick<StoreClient<NameOperations>, 'call' | 'waiting'>;
  /** Signs the certificates; its peer id names this phonebook in them. */
  privateKey: Ed25519PrivateKey;
  /** Wall clock. */
  nowMs: () => number;
  limits?: PhonebookLimits;
  /** Left out, only peers have limits, not addresses. */
  groupOf?: GroupOf;
}

export interface Phonebook {
  /** For `phonebookHandler`. */
  decisions: PhonebookDecisions;
  /** To be told when the last connection of a peer closes: it is offline at once. `peerId` is in base58. */
  disconnected(peerId: string): void;
  /** The same answers without limits per peer, for the node's own HTTP. */
  lookups: {
    resolve(key: ResolveKey): Promise<Decision<{ row: ResolvedRow }>>;
    list(query: ListQuery): Promise<Decision<{ page: ListPage }>>;
  };
  counts(): Promise<{ names: number; known: number; online: number }>;
}

/** The decisions of a phonebook: names on disk, presence in memory. */
export function phonebook({
  store,
  privateKey,
  nowMs,
  limits = PHONEBOOK_LIMITS,
  groupOf = () => undefined,
}: PhonebookInit): Phonebook {
  const self = privateKey.publicKey.toString();
  const names = nameCache(store);
  const presence = new Presence({ nowMs, limits });
  const claims = sharedRate(limits.claimsPerMinute, limits.perAddress.claims, groupOf);
  const renewals = sharedRate(limits.renewalsPerMinute, limits.perAddress.renewals, groupOf);
  const lookupsOfPeer = sharedRate(limits.lookupsPerMinute, limits.perAddress.lookups, groupOf);

  /** Runs a decision, unless its peer asks too often or the disk is behind; a refusal inside may be thrown. */
  async function limited<Result>(
    rate: PeerRate | null,
    peerId: string,
    decide: () => Promise<Decision<Result>>,
  ): Promise<Decision<Result>> {
    if (rate !== null) {
      const { granted, retryAfterMs } = rate.take(peerId, 1, nowMs());
      if (granted === 0) return { status: 'rate-limited', retryAfterMs };
    }
    if (store.waiting >= limits.maxStoreQueue)
      return { status: 'unavailable', detail: 'too many requests wait' };
    try {
      return await decide();
    } catch (error) {
      return refusalFor(error);
    }
  }

  /** Checks what a peer says of itself, before anything is done about it. */
  async function checkPresence(peerId: string, update: PresenceUpdate): Promise<PresenceDetails> {
    if (Math.abs(update.timeMs - nowMs()) > CLOCK_TOLERANCE_MS) throw new RefusedError('clock-skew');
    const record = await openPeerRecord(update.peerRecord);
    if (record.peerId !== peerId) throw new RefusedError('bad-peer-record', 'it is of another peer');
    const card =
      update.contactCard.byteLength === 0 ? null : await openCard(update.contactCard, { nowMs: nowMs() });
    if (card !== null && card.peerId !== peerId)
      throw new RefusedError('bad-contact-card', 'it is of another peer');
    return {
      // Copies: these stay, and would keep the whole chunk they came in.
      peerRecord: Uint8Array.from(update.peerRecord),
      contactCard: card === null ? null : Uint8Array.from(update.contactCard),
      contactCardExpiresMs: card?.expiresMs ?? 0,
      listed: update.listed,
      reachedAt: JSON.stringify([record.multiaddrs, card?.mailboxes ?? null]),
    };
  }

  async function checkProposal(peerId: string, bytes: Uint8Array): Promise<Proposal> {
    const proposal = await openProposal(bytes);
    const refuse = (detail: string): never => {
      throw new RefusedError('bad-certificate', detail);
    };
    if (proposal.owner !== peerId) refuse('its owner is another peer');
    if (proposal.phonebook !== self) refuse('it is for another phonebook');
    if (proposal.expiresMs <= nowMs()) refuse('it has expired already');
    if (proposal.expiresMs > nowMs() + MAX_LIFETIME_MS + CLOCK_TOLERANCE_MS) {
      refuse(`it lasts for more than ${MAX_LIFETIME_MS / 86_400_000} days`);
    }
    return proposal;
  }

  /** Keeps what is known of an owner for the time when it is away, or this node has been started anew. */
  function save(row: PresenceRow): void {
    const {
      peerId: owner,
      ownName,
      peerRecord,
      contactCard,
      contactCardExpiresMs,
      lastSeenMs,
      reachedAt,
    } = row;
    if (ownName == null) return;
    const before = row.saved;
    row.saved = { reachedAt, atMs: nowMs() };
    const seen = { owner, peerRecord, contactCard, contactCardExpiresMs, lastSeenMs };
    // Presence is heard of again soon; it is not worth an fsync.
    const write = (): Promise<void> => store.call('names.seen', seen, { durability: 'process' });
    names.writing({ owner }, write).catch(() => {
      // The next renewal tries again: no reason to refuse this one.
      row.saved = before;
    });
  }

  function isSaved({ saved, reachedAt }: PresenceRow): boolean {
    if (saved === undefined || saved.reachedAt !== reachedAt) return false;
    // A clock set back far makes it long ago, too.
    return Math.abs(nowMs() - saved.atMs) < SAVE_INTERVAL_MS;
  }

  async function nameOf(peerId: string): Promise<OwnName | null> {
    const known = presence.get(peerId)?.ownName;
    if (known !== undefined && (known === null || known.expiresMs > nowMs())) return known;
    const row = await names.get({ owner: peerId }, { nowMs: nowMs() });
    return row === null ? null : { name: row.name, seq: row.seq, expiresMs: row.expiresMs };
  }

  async function resolve(key: ResolveKey): Promise<Decision<{ row: ResolvedRow }>> {
    const wanted = 'name' in key ? { name: normaliseName(key.name) } : { owner: key.peerId };
    const held = await names.get(wanted, { nowMs: nowMs() });
    const there = presence.get('owner' in wanted ? wanted.owner : (held?.owner ?? ''));
    const latest = there ?? held;
    if (latest === null) return { status: 'not-found' };
    const row: ResolvedRow = {
      peerId: there?.peerId ?? (latest as NameRow).owner,
      name: held?.name ?? null,
      certificate: held?.certificate ?? null,
      online: there !== undefined && presence.isOnline(there),
      lastSeenMs: latest.lastSeenMs,
      peerRecord: latest.peerRecord,
      contactCard: latest.contactCardExpiresMs > nowMs() ? latest.contactCard : null,
    };
    return { status: 'ok', row };
  }

  const list = async (query: ListQuery): Promise<Decision<{ page: ListPage }>> => ({
    status: 'ok',
    page: presence.list(query),
  });

  async function claim(
    peerId: string,
    bytes: Uint8Array,
    update: PresenceUpdate,
  ): Promise<Decision<{ certificate: Uint8Array; intervalMs: number }>> {
    const details = await checkPresence(peerId, update);
    const proposal = await checkProposal(peerId, bytes);
    const { name, seq, expiresMs } = proposal;
    const certificate = await countersign(privateKey, proposal);
    const at = nowMs();
    const claimed = await names.writing({ name, owner: peerId }, () =>
      store.call('names.claim', {
        name,
        owner: peerId,
        seq,
        expiresMs,
        certificate,
        peerRecord: details.peerRecord,
        contactCard: details.contactCard,
        contactCardExpiresMs: details.contactCardExpiresMs,
        lastSeenMs: at,
        nowMs: at,
      }),
    );
    if (claimed.outcome === 'has-name') return { status: 'has-name', heldName: claimed.name };
    if (claimed.outcome === 'stale-seq') return { status: 'stale-seq', currentSeq: claimed.seq };
    if (claimed.outcome !== 'ok') return { status: claimed.outcome };
    const row = presence.renewed(peerId, details);
    if (row !== undefined) row.saved = { reachedAt: details.reachedAt, atMs: at };
    presence.named(peerId, { name, seq, expiresMs });
    return { status: 'ok', certificate, intervalMs: RENEW_INTERVAL_MS };
  }

  async function renew(
    peerId: string,
    update: PresenceUpdate,
  ): Promise<Decision<{ intervalMs: number; ownName: OwnName | null }>> {
    const details = await checkPresence(peerId, update);
    const found = await nameOf(peerId);
    const row = presence.renewed(peerId, details);
    if (row === undefined) return { status: 'full' };
    // A claim or release that was answered meanwhile knows better than what was found.
    if (row.ownName === undefined || (row.ownName !== null && row.ownName.expiresMs <= nowMs())) {
      presence.named(peerId, found);
    }
    if (!isSaved(row)) save(row);
    return { status: 'ok', intervalMs: RENEW_INTERVAL_MS, ownName: row.ownName ?? null };
  }

  async function release(peerId: string, name: string, seq: number): Promise<Decision<object>> {
    const given = { name: normaliseName(name), owner: peerId, seq, nowMs: nowMs() };
    const released = await names.writing(given, () => store.call('names.release', given));
    if (released.outcome === 'stale-seq') return { status: 'stale-seq', currentSeq: released.seq };
    if (released.outcome !== 'ok') return { status: released.outcome };
    presence.named(peerId, null);
    return { status: 'ok' };
  }

  const decisions: PhonebookDecisions = {
    claim: (peerId, bytes, update) => limited(claims, peerId, async () => claim(peerId, bytes, update)),
    renew: (peerId, update) => limited(renewals, peerId, async () => renew(peerId, update)),
    release: (peerId, name, seq) => limited(claims, peerId, async () => release(peerId, name, seq)),
    resolve: (peerId, key) => limited(lookupsOfPeer, peerId, async () => resolve(key)),
    list: (peerId, query) => limited(lookupsOfPeer, peerId, async () => list(query)),
  };

  return {
    decisions,
    disconnected(peerId) {
      const row = presence.disconnected(peerId);
      if (row !== undefined) save(row);
    },
    lookups: { resolve: (key) => limited(null, self, async () => resolve(key)), list },
    async counts() {
      return { names: await store.call('names.count', { nowMs: nowMs() }), ...presence.counts() };
    },
  };
}

/** A refusal on its way out of a check. */
class RefusedError extends Error {
  override name = 'RefusedError';
  readonly refusal: Refusal;

  constructor(status: PhonebookErrorCode, detail = '') {
    super(detail);
    this.refusal = { status, detail };
  }
}

/** What a failed check or a failed disk means to the sender. Anything else is a fault of ours. */
function refusalFor(error: unknown): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  if (error instanceof InvalidNameError) {
    return { status: 'invalid-name', detail: `${error.message}; ${error.hint}` };
  }
  if (error instanceof InvalidCertificateError) return { status: 'bad-certificate', detail: error.message };
  if (error instanceof InvalidPeerRecordError) return { status: 'bad-peer-record', detail: error.message };
  if (error instanceof InvalidContactCardError) return { status: 'bad-contact-card', detail: error.message };
  if (error instanceof StoreError) return { status: 'unavailable' };
  throw error;
}
