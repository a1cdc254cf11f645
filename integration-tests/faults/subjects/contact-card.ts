import { RecordEnvelope } from '@libp2p/peer-record';
import { openCard, sealCard } from '../../../protocols/contact-card/card.ts';
import type { ContactCard } from '../../../protocols/contact-card/card.ts';
import { ada, adasCard, NOW_MS } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const DOMAIN = 'tincan-contact-card';
const PAYLOAD_TYPE = Buffer.from('/tincan/contact-card/1');

const cards: ContactCard[] = [adasCard(), adasCard({ mailboxes: [], seq: 2 ** 53 - 1 })];
const { name: _, ...nameless } = adasCard();
cards.push({ ...nameless, mailboxes: [...nameless.mailboxes, ...nameless.mailboxes] });

const samples = await Promise.all(cards.map((card) => sealCard(ada, card)));

async function signed(payload: Uint8Array): Promise<Uint8Array> {
  const record = { domain: DOMAIN, codec: PAYLOAD_TYPE, marshal: () => payload, equals: () => false };
  return (await RecordEnvelope.seal(record, ada)).marshal();
}

function payloadOf(card: Uint8Array): Uint8Array {
  return new Uint8Array(RecordEnvelope.createFromProtobuf(card).payload);
}

export const subject: Subject = {
  name: 'contact-card',
  decoders: [
    {
      name: 'contact card',
      decode: (bytes) => openCard(bytes, { nowMs: NOW_MS }),
      encode: (card: ContactCard) => sealCard(ada, card),
      refusals: ['InvalidContactCardError'],
      samples: () => samples,
    },
    {
      name: 'contact card payload, signed',
      decode: async (bytes) => openCard(await signed(bytes), { nowMs: NOW_MS }),
      encode: async (card: ContactCard) => payloadOf(await sealCard(ada, card)),
      refusals: ['InvalidContactCardError'],
      samples: () => samples.map(payloadOf),
    },
  ],
};
