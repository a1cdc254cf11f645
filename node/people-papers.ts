import { openCard } from '../protocols/contact-card/card.ts';
import type { ContactCard } from '../protocols/contact-card/card.ts';
import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { NodeStore } from './store/operations.ts';
import type { PeerPapers } from './store/people.ts';

/** Strangers whose papers are kept in memory, about 5 KB each: whoever makes up peers can't fill our disk. */
const MAX_STRANGERS = 256;

export interface OpenedPapers {
  card: ContactCard | null;
  certificate: NameCertificate | null;
}

/** What people have signed about themselves, as handed over or found. */
export interface PeoplePapers {
  /** Those that are good now. */
  of(peer: string): Promise<OpenedPapers>;
  /** Keeps what the peer itself handed over: also an older card, as after a restored backup. */
  keep(peer: string, papers: PeerPapers): Promise<void>;
  /** Keeps a card that others had, unless a later one is known: they may hand out an old one. */
  keepCard(peer: string, card: ContactCard, bytes: Uint8Array): Promise<void>;
  /** A stranger has become a contact: keeps what was in memory. */
  met(peer: string): Promise<void>;
}

export interface PeoplePapersInit {
  store: NodeStore;
  nowMs: () => number;
  isContact: (peer: string) => boolean;
}

export function peoplePapers({ store, nowMs, isContact }: PeoplePapersInit): PeoplePapers {
  const strangers = new Map<string, PeerPapers>();

  const isKnown = async (peer: string): Promise<boolean> =>
    isContact(peer) || (await store.call('history.page', { peer, limit: 1 })).length > 0;

  const read = async (peer: string): Promise<PeerPapers> => {
    const stored = await store.call('papers.get', { peer });
    const held = strangers.get(peer);
    return { card: held?.card ?? stored.card, certificate: held?.certificate ?? stored.certificate };
  };

  const keep: PeoplePapers['keep'] = async (peer, papers) => {
    if (papers.card === null && papers.certificate === null) return;
    if (await isKnown(peer)) {
      await store.call('papers.put', { peer, ...papers });
      strangers.delete(peer);
      return;
    }
    const before = strangers.get(peer);
    strangers.delete(peer);
    strangers.set(peer, {
      card: papers.card ?? before?.card ?? null,
      certificate: papers.certificate ?? before?.certificate ?? null,
    });
    if (strangers.size > MAX_STRANGERS) strangers.delete(strangers.keys().next().value!);
  };

  const open = async ({ card, certificate }: PeerPapers): Promise<OpenedPapers> => {
    const now = { nowMs: nowMs() };
    return {
      card: card === null ? null : await openCard(card, now).catch(() => null),
      certificate: certificate === null ? null : await verifyCertificate(certificate, now).catch(() => null),
    };
  };

  return {
    keep,
    async met(peer) {
      const held = strangers.get(peer);
      if (held !== undefined) await keep(peer, held);
    },
    of: async (peer) => open(await read(peer)),
    async keepCard(peer, card, bytes) {
      const known = (await open({ ...(await read(peer)), certificate: null })).card;
      if (known === null || known.seq < card.seq) await keep(peer, { card: bytes, certificate: null });
    },
  };
}
