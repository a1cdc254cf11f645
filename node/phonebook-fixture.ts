import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { sealCard } from '../protocols/contact-card/card.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import {
  countersign,
  openProposal,
  proposeCertificate,
  verifyCertificate,
} from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { PhonebookClient, ResolvedPeer } from '../protocols/phonebook/client.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import type { LinkStatus } from './bootstrap-link.ts';

/** A clock that tests turn. */
export const NOON_MS = Date.UTC(2026, 10, 20, 12);
export const DAY_MS = 24 * 3600_000;

export interface Person {
  key: Ed25519PrivateKey;
  peerId: string;
}

export async function person(): Promise<Person> {
  const key = await generateKeyPair('Ed25519');
  return { key, peerId: key.publicKey.toString() };
}

/** A phonebook that answers at once, from memory, as the tests tell it to. */
export interface FakePhonebook {
  link: {
    peerId: ReturnType<typeof peerIdFromPrivateKey>;
    address: ReturnType<typeof multiaddr>;
    status: LinkStatus;
    phonebook: PhonebookClient;
  };
  id: string;
  /** What was asked, in order. */
  asked: string[];
  /** Names given, by name. */
  given: Map<string, NameCertificate>;
  /** Awaited before each answer; throw to refuse. */
  before: (request: string) => Promise<void> | void;
  /** Gives a name to somebody, as if they had claimed it. */
  give(
    name: string,
    owner: Person,
    seq?: number,
  ): Promise<{ certificate: NameCertificate; bytes: Uint8Array }>;
  resolved: Map<string, ResolvedPeer>;
}

export async function fakePhonebook(nowMs: () => number = () => NOON_MS): Promise<FakePhonebook> {
  const { key, peerId: id } = await person();
  const given = new Map<string, NameCertificate>();
  const asked: string[] = [];
  const resolved = new Map<string, ResolvedPeer>();
  const sign = async (proposal: Uint8Array) => {
    const bytes = await countersign(key, await openProposal(proposal));
    return { bytes, certificate: await verifyCertificate(bytes, { nowMs: nowMs() }) };
  };
  const unused = (): never => {
    throw new Error('not asked for in these tests');
  };
  const peerId = peerIdFromPrivateKey(key);
  const self: FakePhonebook = {
    id,
    asked,
    given,
    resolved,
    before: () => undefined,
    async give(name, owner, seq = 1) {
      const expiresMs = nowMs() + 30 * DAY_MS;
      return sign(await proposeCertificate(owner.key, { name, phonebook: id, seq, expiresMs }));
    },
    link: {
      peerId,
      address: multiaddr(`/ip4/192.0.2.1/tcp/4001/p2p/${id}`),
      status: { state: 'connected', detail: null, lastSeenMs: null },
      phonebook: {
        async claim({ name, privateKey, seq = 1 }) {
          asked.push(`claim ${name}`);
          await self.before(`claim ${name}`);
          const owner = privateKey.publicKey.toString();
          const holder = given.get(name);
          if (holder !== undefined && holder.owner !== owner) throw new PhonebookError('taken');
          const other = [...given.values()].find((each) => each.owner === owner && each.name !== name);
          if (other !== undefined) throw new PhonebookError('has-name', { heldName: other.name });
          const expiresMs = nowMs() + 30 * DAY_MS;
          const { certificate, bytes } = await sign(
            await proposeCertificate(privateKey, { name, phonebook: id, seq, expiresMs }),
          );
          given.set(name, certificate);
          return { certificate, certificateBytes: bytes, intervalMs: 30_000 };
        },
        async release({ name, seq }) {
          asked.push(`release ${name}`);
          await self.before(`release ${name}`);
          const currentSeq = given.get(name)?.seq ?? 0;
          if (seq <= currentSeq) throw new PhonebookError('stale-seq', { currentSeq });
          if (!given.delete(name)) throw new PhonebookError('not-found');
        },
        async resolve(wanted, { signal }) {
          const text = 'name' in wanted ? wanted.name : wanted.peerId;
          asked.push(`resolve ${text}`);
          await self.before(`resolve ${text}`);
          signal.throwIfAborted();
          const found = resolved.get(text);
          if (found === undefined) throw new PhonebookError('not-found');
          return found;
        },
        renew: unused,
        list: unused,
      },
    },
  };
  return self;
}

/** What a phonebook answers about somebody. */
export async function resolvedPeer(
  { key, peerId }: Person,
  {
    named,
    card,
    multiaddrs = [],
  }: {
    named?: { certificate: NameCertificate; bytes: Uint8Array };
    card?: { seq: number; mailboxes: MailboxAddress[] };
    multiaddrs?: string[];
  } = {},
): Promise<ResolvedPeer> {
  const contactCard = card && { peerId, ...card, expiresMs: NOON_MS + 30 * DAY_MS };
  return {
    peerId,
    name: named?.certificate.name ?? null,
    online: true,
    lastSeenMs: NOON_MS,
    certificate: named?.certificate ?? null,
    certificateBytes: named?.bytes ?? null,
    multiaddrs,
    contactCard: contactCard ?? null,
    contactCardBytes: contactCard === undefined ? null : await sealCard(key, contactCard),
  };
}
