import type { Ed25519PrivateKey } from '@libp2p/interface';
import { countersign, openProposal, proposeCertificate } from '../../protocols/phonebook/certificate.ts';
import type { Proposal } from '../../protocols/phonebook/certificate.ts';
import { phonebookHandler } from '../../protocols/phonebook/handler.ts';
import { PHONEBOOK_PROTOCOL } from '../../protocols/phonebook/protocol.ts';
import type { PhonebookDecisions, ResolvedRow } from '../../protocols/phonebook/protocol.ts';
import { bareNode } from './bare-node.ts';

const DAY_MS = 24 * 3600_000;

/** A bootstrap node of the attacker's: a phonebook that certifies and answers what the test tells it to, and nothing else. */
export interface LyingPhonebook extends AsyncDisposable {
  peerId: string;
  /** To hand to daemons. */
  multiaddr: string;
  /** What it answers about a name or a peer id, whoever asks. */
  answers: Map<string, ResolvedRow>;
  /** Answers with somebody under a name, as they have claimed it last. Everybody's claims are certified. */
  point(name: string, peerId: string): void;
  /** Whether somebody has claimed a name. */
  hasClaim(name: string, peerId: string): boolean;
  /** A certificate for whoever goes along with it, by this phonebook unless another key is given. */
  certify(
    name: string,
    owner: Ed25519PrivateKey,
    options: { seq: number; phonebook?: Ed25519PrivateKey },
  ): Promise<Uint8Array>;
}

/** What it says of somebody of whom it only has a certificate. */
export function rowOf(peerId: string, name: string, certificate: Uint8Array | null): ResolvedRow {
  const nowMs = Date.now();
  return { peerId, name, certificate, online: true, lastSeenMs: nowMs, peerRecord: null, contactCard: null };
}

export async function lyingPhonebook({ signal }: { signal: AbortSignal }): Promise<LyingPhonebook> {
  const { node, privateKey } = await bareNode();
  const peerId = node.peerId.toString();
  const answers = new Map<string, ResolvedRow>();
  const claims = new Map<string, ResolvedRow>();
  const seqs = new Map<string, number>();

  const decisions: PhonebookDecisions = {
    async claim(owner, bytes, { peerRecord, contactCard }) {
      const proposal: Proposal = await openProposal(bytes);
      const { name, seq } = proposal;
      const current = seqs.get(name) ?? 0;
      if (seq <= current) return { status: 'stale-seq', currentSeq: current };
      seqs.set(name, seq);
      const certificate = await countersign(privateKey, proposal);
      const row = { ...rowOf(owner, name, certificate), peerRecord, contactCard };
      claims.set(`${name}/${owner}`, row);
      answers.set(owner, row);
      if (!answers.has(name)) answers.set(name, row);
      return { status: 'ok', certificate, intervalMs: 30_000 };
    },
    async renew(peer, { peerRecord, contactCard }) {
      const row = answers.get(peer);
      if (row !== undefined) Object.assign(row, { peerRecord, contactCard });
      return { status: 'ok', intervalMs: 30_000, ownName: null };
    },
    release: async () => ({ status: 'ok' }),
    async resolve(_, key) {
      const row = answers.get('name' in key ? key.name : key.peerId);
      return row === undefined ? { status: 'not-found' } : { status: 'ok', row };
    },
    list: async () => ({ status: 'ok', page: { entries: [...answers.values()], next: null } }),
  };
  await node.handle(PHONEBOOK_PROTOCOL, phonebookHandler({ decisions, nowMs: Date.now, signal }));

  return {
    peerId,
    multiaddr: node.getMultiaddrs()[0]!.toString(),
    answers,
    point(name, owner) {
      const row = claims.get(`${name}/${owner}`);
      if (row === undefined) throw new Error(`${owner} has not claimed ${name}`);
      answers.set(name, row);
    },
    hasClaim: (name, owner) => claims.has(`${name}/${owner}`),
    async certify(name, owner, { seq, phonebook = privateKey }) {
      const proposal = await proposeCertificate(owner, {
        name,
        phonebook: phonebook.publicKey.toString(),
        seq,
        expiresMs: Date.now() + 30 * DAY_MS,
      });
      return countersign(phonebook, await openProposal(proposal));
    },
    async [Symbol.asyncDispose]() {
      await node.stop();
    },
  };
}
