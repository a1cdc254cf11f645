import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { multiaddr } from '@multiformats/multiaddr';
import { sealCard } from '../../../protocols/contact-card/card.ts';
import type { ContactCard } from '../../../protocols/contact-card/card.ts';
import { countersign, openProposal, proposeCertificate } from '../../../protocols/phonebook/certificate.ts';

/** What people sign, made with keys and a clock that never change, so that samples and what is made of them don't either. */

export const NOW_MS = Date.UTC(2026, 10, 20);

const DAY_MS = 24 * 3600_000;

const key = (number: number): Promise<Ed25519PrivateKey> =>
  generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(number));

export const [ada, ben, phonebook] = await Promise.all([key(1), key(2), key(3)]);

export const ADDRESSES = [
  '/ip4/192.0.2.1/tcp/4001',
  '/ip6/2001:db8::1/tcp/4001',
  '/dns4/node.example/tcp/443/tls/sni/node.example/ws',
  '/ip4/192.0.2.2/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ',
  `/ip4/192.0.2.3/tcp/4001/p2p/${phonebook.publicKey.toString()}/p2p-circuit`,
];

/** The fields of a contact card of Ada's. */
export function adasCard(fields: Partial<ContactCard> = {}): ContactCard {
  return {
    peerId: ada.publicKey.toString(),
    name: 'ada',
    mailboxes: [{ peerId: phonebook.publicKey.toString(), multiaddrs: ADDRESSES }],
    seq: 7,
    expiresMs: NOW_MS + 30 * DAY_MS,
    ...fields,
  };
}

export const sealedCard = await sealCard(ada, adasCard());

/** A proposal of Ada's, and the certificate that the phonebook made of it. */
export async function certify(
  name: string,
  { seq = 1, expiresMs = NOW_MS + 30 * DAY_MS }: { seq?: number; expiresMs?: number } = {},
): Promise<{ proposal: Uint8Array; certificate: Uint8Array }> {
  const proposal = await proposeCertificate(ada, {
    name,
    phonebook: phonebook.publicKey.toString(),
    seq,
    expiresMs,
  });
  return { proposal, certificate: await countersign(phonebook, await openProposal(proposal)) };
}

export const papers = await certify('ada');

/** A signed peer record of Ada's. */
export async function peerRecord(addresses: readonly string[] = ADDRESSES): Promise<Uint8Array> {
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(ada),
    multiaddrs: addresses.map((address) => multiaddr(address)),
    seqNumber: BigInt(NOW_MS),
  });
  return (await RecordEnvelope.seal(record, ada)).marshal();
}

export const signedRecord = await peerRecord();
