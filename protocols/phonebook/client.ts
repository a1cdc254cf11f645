import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import type { Ed25519PrivateKey, Stream } from '@libp2p/interface';
import { InvalidContactCardError, openCard } from '../contact-card/card.ts';
import type { ContactCard } from '../contact-card/card.ts';
import { request } from '../framing/request-response.ts';
import { proposeCertificate, verifyCertificate } from './certificate.ts';
import { DEFAULT_LIFETIME_MS } from './lifetimes.ts';
import type { NameCertificate } from './certificate.ts';
import { codeOf, PhonebookError } from './errors.ts';
import { decodeAnswer } from './messages.ts';
import { normaliseName } from './name.ts';
import { openPeerRecord } from './peer-record.ts';
import { PresenceSchema, RequestSchema, Status } from './phonebook_pb.ts';
import type { Answer, Entry, Presence } from './phonebook_pb.ts';
import { MAX_ANSWER_BYTES, MAX_RENEW_INTERVAL_MS, MIN_RENEW_INTERVAL_MS } from './protocol.ts';
import type { ListEntry, ListPage, ListQuery, OwnName, PresenceUpdate, ResolveKey } from './protocol.ts';

export interface PhonebookClientInit {
  /** Opens a `PHONEBOOK_PROTOCOL` stream to the phonebook. */
  openStream: (options: { signal: AbortSignal }) => Promise<Stream>;
  /** The phonebook's peer id, in base58: certificates of any other are refused. */
  phonebook: string;
  /** Wall clock, default `Date.now`. */
  nowMs?: () => number;
}

export interface ClaimOptions extends Omit<PresenceUpdate, 'timeMs'> {
  name: string;
  privateKey: Ed25519PrivateKey;
  /** One above that of the last certificate known for the name, default 1. The phonebook's own count wins. */
  seq?: number;
  /** Default 30 days, at most 90. */
  lifetimeMs?: number;
}

export interface ClaimedName {
  certificate: NameCertificate;
  /** To keep, hand on and put in the DHT. */
  certificateBytes: Uint8Array;
  /** When the next renewal is wanted. */
  intervalMs: number;
}

export interface ResolvedPeer extends ListEntry {
  certificate: NameCertificate | null;
  certificateBytes: Uint8Array | null;
  /** From its signed peer record. */
  multiaddrs: string[];
  contactCard: ContactCard | null;
  contactCardBytes: Uint8Array | null;
}

type Signal = { signal: AbortSignal };

/** A phonebook seen from a peer. All throw `PhonebookError` for a refusal and the stack's own errors for the rest. */
export interface PhonebookClient {
  /**
   * Claims a name, or a longer time with it; also renews.
   *
   * @throws InvalidNameError before anything is sent
   */
  claim(claim: ClaimOptions, options: Signal): Promise<ClaimedName>;
  /** Says "I am here", with a name or without. `ownName` is what the phonebook has for this peer. */
  renew(
    presence: Omit<PresenceUpdate, 'timeMs'>,
    options: Signal,
  ): Promise<{ intervalMs: number; ownName: OwnName | null; clockAheadMs: number }>;
  /** Gives a name back; at once it is free for anybody. */
  release(name: { name: string; seq: number }, options: Signal): Promise<void>;
  /**
   * Looks a peer up. Everything returned but `online` and `lastSeenMs` is proved by signatures.
   *
   * @throws InvalidMessageError when the phonebook's answer proves something else than what was asked
   * @throws InvalidCertificateError when it proves nothing, or nothing by the clock here
   */
  resolve(key: ResolveKey, options: Signal): Promise<ResolvedPeer>;
  /** A page of those who are there and agreed to be listed. */
  list(query: Partial<ListQuery>, options: Signal): Promise<ListPage>;
}

/**
 * Talks to a phonebook, one stream a request.
 *
 * @example
 * ```ts
 * const phonebook = phonebookClient({
 *   openStream: ({ signal }) => node.dialProtocol(address, PHONEBOOK_PROTOCOL, { signal }),
 *   phonebook: peerId.toString(),
 * })
 * const { certificate } = await phonebook.claim({ name: 'bob', privateKey, … }, { signal })
 * ```
 */
export function phonebookClient({
  openStream,
  phonebook,
  nowMs = Date.now,
}: PhonebookClientInit): PhonebookClient {
  type RequestBody = NonNullable<MessageInitShape<typeof RequestSchema>['body']>;

  async function ask(body: RequestBody, { signal }: Signal): Promise<Answer> {
    const stream = await openStream({ signal });
    const frame = toBinary(RequestSchema, create(RequestSchema, { body }));
    const bytes = await request(stream, frame, { maxFrameBytes: MAX_ANSWER_BYTES, signal });
    const answer = decodeAnswer(bytes);
    if (answer.status !== Status.OK) throw refusal(answer, nowMs());
    return answer;
  }

  function stamped({ peerRecord, contactCard, listed }: Omit<PresenceUpdate, 'timeMs'>): Presence {
    return create(PresenceSchema, { peerRecord, contactCard, listed, timeMs: BigInt(nowMs()) });
  }

  async function claimOnce(options: ClaimOptions, seq: number, signal: Signal): Promise<ClaimedName> {
    const { name, privateKey, lifetimeMs = DEFAULT_LIFETIME_MS } = options;
    const wanted = { name, phonebook, seq, expiresMs: nowMs() + lifetimeMs };
    const proposal = await proposeCertificate(privateKey, wanted);
    const answer = await ask({ case: 'claim', value: { proposal, presence: stamped(options) } }, signal);
    const { certificate: certificateBytes, intervalMs } = bodyOf(answer, 'claimed');
    const certificate = await verifyCertificate(certificateBytes, { nowMs: nowMs() });
    if (certificate.name !== normaliseName(name) || certificate.owner !== privateKey.publicKey.toString()) {
      throw new InvalidMessageError('the phonebook answered a claim with another certificate');
    }
    checkPhonebook(certificate);
    return { certificate, certificateBytes, intervalMs: readInterval(intervalMs) };
  }

  function checkPhonebook(certificate: NameCertificate): void {
    if (certificate.phonebook !== phonebook) {
      throw new InvalidMessageError('the phonebook answered with the certificate of another phonebook');
    }
  }

  return {
    async claim(options, signal) {
      try {
        return await claimOnce(options, options.seq ?? 1, signal);
      } catch (error) {
        // The seq continues over owners and lost answers, which only the phonebook knows of.
        if (!(error instanceof PhonebookError) || error.code !== 'stale-seq') throw error;
        return claimOnce(options, (error.details.currentSeq ?? 0) + 1, signal);
      }
    },

    async renew(presence, signal) {
      const answer = await ask({ case: 'renew', value: { presence: stamped(presence) } }, signal);
      const { intervalMs, name, seq, expiresMs } = bodyOf(answer, 'renewed');
      return {
        intervalMs: readInterval(intervalMs),
        ownName: name === '' ? null : { name, seq: Number(seq), expiresMs: Number(expiresMs) },
        clockAheadMs: nowMs() - Number(answer.timeMs),
      };
    },

    async release({ name, seq }, signal) {
      await ask({ case: 'release', value: { name: normaliseName(name), seq: BigInt(seq) } }, signal);
    },

    async resolve(key, signal) {
      const wanted = 'name' in key ? { name: normaliseName(key.name) } : key;
      const value =
        'name' in wanted
          ? { key: { case: 'name' as const, value: wanted.name } }
          : { key: { case: 'peerId' as const, value: wanted.peerId } };
      const resolved = bodyOf(await ask({ case: 'resolve', value }, signal), 'resolved');
      const { peerId, online } = resolved;
      const lastSeenMs = Number(resolved.lastSeenMs);
      const certificateBytes = orNull(resolved.certificate);
      const certificate =
        certificateBytes === null ? null : await verifyCertificate(certificateBytes, { nowMs: nowMs() });
      if (certificate !== null) checkPhonebook(certificate);
      const genuine =
        'name' in wanted
          ? certificate?.name === wanted.name && certificate.owner === peerId
          : peerId === wanted.peerId && (certificate?.owner ?? peerId) === peerId;
      if (!genuine) throw new InvalidMessageError('the phonebook answered with somebody else');
      return {
        peerId,
        online,
        lastSeenMs,
        name: certificate?.name ?? null,
        certificate,
        certificateBytes,
        multiaddrs: await readPeerRecord(resolved.peerRecord, peerId),
        ...(await readContactCard(resolved.contactCard, peerId, nowMs())),
      };
    },

    async list({ onlineOnly = false, limit = 0, after = '' }, signal) {
      const answer = await ask({ case: 'list', value: { onlineOnly, limit, after } }, signal);
      const { entries, next } = bodyOf(answer, 'listed');
      return { entries: entries.map(readEntry), next: next === '' ? null : next };
    },
  };
}

type Body = Extract<Answer['body'], { value: unknown }>;
type BodyValue<Case extends Body['case']> = Extract<Body, { case: Case }>['value'];

function bodyOf<Case extends Body['case']>({ body }: Answer, wanted: Case): BodyValue<Case> {
  if (body.case !== wanted) throw new InvalidMessageError('the phonebook answered another question');
  return body.value as BodyValue<Case>;
}

/** Control characters, also the ones that turn the direction of text, would let a phonebook write over a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function refusal(answer: Answer, nowMs: number): Error {
  const code = codeOf(answer.status);
  if (code === undefined) {
    return new InvalidMessageError(`the phonebook refused with the unknown status ${answer.status}`);
  }
  const phonebookTimeMs = Number(answer.timeMs);
  return new PhonebookError(code, {
    detail: answer.detail.replaceAll(UNPRINTABLE, ' ').slice(0, 300),
    phonebookTimeMs,
    clockAheadMs: nowMs - phonebookTimeMs,
    currentSeq: Number(answer.currentSeq),
    retryAfterMs: Number(answer.retryAfterMs),
    heldName: answer.heldName.replaceAll(UNPRINTABLE, ' ').slice(0, 64),
  });
}

function readEntry({ peerId, name, online, lastSeenMs }: Entry): ListEntry {
  return { peerId, name: name === '' ? null : name, online, lastSeenMs: Number(lastSeenMs) };
}

function readInterval(wantedMs: bigint): number {
  return Math.min(Math.max(Number(wantedMs), MIN_RENEW_INTERVAL_MS), MAX_RENEW_INTERVAL_MS);
}

function orNull(bytes: Uint8Array): Uint8Array | null {
  return bytes.byteLength === 0 ? null : bytes;
}

async function readPeerRecord(bytes: Uint8Array, peerId: string): Promise<string[]> {
  if (bytes.byteLength === 0) return [];
  const record = await openPeerRecord(bytes);
  if (record.peerId !== peerId) throw new InvalidMessageError('the peer record is of somebody else');
  return record.multiaddrs;
}

async function readContactCard(
  bytes: Uint8Array,
  peerId: string,
  nowMs: number,
): Promise<Pick<ResolvedPeer, 'contactCard' | 'contactCardBytes'>> {
  if (bytes.byteLength === 0) return { contactCard: null, contactCardBytes: null };
  try {
    const contactCard = await openCard(bytes, { nowMs });
    if (contactCard.peerId !== peerId) throw new InvalidMessageError('the contact card is of somebody else');
    return { contactCard, contactCardBytes: bytes };
  } catch (error) {
    // It ran out on the way, or while the peer was away: as if there were none.
    if (error instanceof InvalidContactCardError && error.code === 'expired') {
      return { contactCard: null, contactCardBytes: null };
    }
    throw error;
  }
}
