import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import fc from 'fast-check';
import { InvalidContactCardError, MAX_CARD_BYTES, openCard, sealCard } from './card.ts';
import type { ContactCard, InvalidContactCardCode } from './card.ts';
import { ContactCardSchema } from './contact-card_pb.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
const TEN_YEARS_MS = 10 * 365 * 24 * 60 * 60 * 1000;

let key: Ed25519PrivateKey;
let mailbox: string;

before(async () => {
  key = await generateKeyPair('Ed25519');
  mailbox = (await generateKeyPair('Ed25519')).publicKey.toString();
});

function card(changes: Partial<ContactCard> = {}): ContactCard {
  return {
    peerId: key.publicKey.toString(),
    mailboxes: [{ peerId: mailbox, multiaddrs: ['/ip4/192.0.2.1/tcp/4001', '/dns4/box.example/tcp/443'] }],
    seq: 1,
    expiresMs: NOW_MS + WEEK_MS,
    ...changes,
  };
}

async function refused(opening: Promise<unknown>, code: InvalidContactCardCode): Promise<void> {
  await assert.rejects(opening, (error: unknown) => {
    assert.ok(error instanceof InvalidContactCardError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

void test('a card says what its peer signed', async () => {
  for (const written of [card(), card({ name: 'bob' }), card({ mailboxes: [] })]) {
    const sealed = await sealCard(key, written);
    assert.deepEqual(await openCard(sealed, { nowMs: NOW_MS }), written);
  }
});

void test('any card within the limits comes through', async () => {
  const address = fc
    .tuple(fc.ipV4(), fc.integer({ min: 1, max: 65_535 }))
    .map(([host, port]) => `/ip4/${host}/tcp/${port}`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(address, { maxLength: 8 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      async (mailboxes, seq) => {
        const written = card({
          seq,
          mailboxes: mailboxes.map((multiaddrs) => ({ peerId: mailbox, multiaddrs })),
        });
        assert.deepEqual(await openCard(await sealCard(key, written), { nowMs: NOW_MS }), written);
      },
    ),
    { numRuns: 30 },
  );
});

void test('the limits hold for the writer too', async () => {
  const box = { peerId: mailbox, multiaddrs: [] };
  await refused(sealCard(key, card({ mailboxes: Array.from({ length: 5 }, () => box) })), 'too-large');
  const addresses = Array.from({ length: 9 }, (_, port) => `/ip4/192.0.2.1/tcp/${port + 1}`);
  await refused(sealCard(key, card({ mailboxes: [{ ...box, multiaddrs: addresses }] })), 'too-large');
  const long = Array.from({ length: 8 }, (_, n) => `/dns4/${'a'.repeat(200)}${n}.example/tcp/1`);
  await refused(
    sealCard(key, card({ mailboxes: Array.from({ length: 4 }, () => ({ ...box, multiaddrs: long })) })),
    'too-large',
  );
  await refused(openCard(new Uint8Array(MAX_CARD_BYTES + 1), { nowMs: NOW_MS }), 'too-large');
  await refused(sealCard(key, card({ seq: 0 })), 'malformed');
  await refused(sealCard(key, card({ name: 'Bob' })), 'malformed');
  await refused(sealCard(key, card({ name: 'pаypal' })), 'malformed');
  await refused(sealCard(key, card({ mailboxes: [{ ...box, multiaddrs: ['here'] }] })), 'malformed');
  await refused(sealCard(key, card({ peerId: mailbox })), 'wrong-peer');
});

void test('a clock ten years off is told from a forgery', async () => {
  const sealed = await sealCard(key, card());
  await refused(openCard(sealed, { nowMs: NOW_MS + TEN_YEARS_MS }), 'expired');
  await refused(openCard(sealed, { nowMs: NOW_MS - TEN_YEARS_MS }), 'not-yet-valid');
});

void test('another signature of the same key does not pass for a card', async () => {
  const record = new PeerRecord({ peerId: peerIdFromPrivateKey(key), multiaddrs: [] });
  const envelope = await RecordEnvelope.seal(record, key);
  await assert.rejects(openCard(envelope.marshal(), { nowMs: NOW_MS }), { name: 'InvalidContactCardError' });

  const sealed = RecordEnvelope.createFromProtobuf(await sealCard(key, card()));
  const { publicKey, payloadType, payload } = sealed;
  const { signature } = envelope;
  const forged = new RecordEnvelope({ publicKey, payloadType, payload, signature });
  await refused(openCard(forged.marshal(), { nowMs: NOW_MS }), 'bad-signature');
});

void test('a card of one peer sealed by another', async () => {
  const other = await generateKeyPair('Ed25519');
  const { payload, payloadType } = RecordEnvelope.createFromProtobuf(await sealCard(key, card()));
  const forged = await RecordEnvelope.seal(
    { domain: 'tincan-contact-card', codec: payloadType, marshal: () => payload, equals: () => false },
    other,
  );
  await refused(openCard(forged.marshal(), { nowMs: NOW_MS }), 'wrong-peer');
});

void test('no byte can be changed, and none added', async () => {
  const sealed = await sealCard(key, card());
  const refused = { name: 'InvalidContactCardError' };
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const changed = Uint8Array.from(sealed);
      changed[at]! ^= flip;
      await assert.rejects(openCard(changed, { nowMs: NOW_MS }), refused);
    }),
    { numRuns: 300 },
  );
  // A field that nobody knows, beside those of the envelope.
  const longer = Buffer.concat([sealed, Uint8Array.of(0x7a, 1, 0)]);
  await assert.rejects(openCard(longer, { nowMs: NOW_MS }), refused);
});

void test('noise is refused, and never anything worse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
      await assert.rejects(openCard(noise, { nowMs: NOW_MS }), { name: 'InvalidContactCardError' });
    }),
  );
});

/** Seals a card as somebody does who does not keep to the rules. */
async function sealedUnchecked(changes: Partial<ContactCard>, address: Uint8Array): Promise<Uint8Array> {
  const { mailboxes: _, ...fields } = card(changes);
  const message = create(ContactCardSchema, {
    ...fields,
    seq: 1n,
    expiresMs: BigInt(fields.expiresMs),
    mailboxes: [{ peerId: mailbox, multiaddrs: [address] }],
  });
  const { payloadType } = RecordEnvelope.createFromProtobuf(await sealCard(key, card()));
  const payload = toBinary(ContactCardSchema, message);
  const record = {
    domain: 'tincan-contact-card',
    codec: payloadType,
    marshal: () => payload,
    equals: () => false,
  };
  return (await RecordEnvelope.seal(record, key)).marshal();
}

void test('an address whose text is much longer than its bytes', async () => {
  const multiaddrs = [`${'/p2p-circuit'.repeat(100)}/ip4/192.0.2.1/tcp/1`];
  const sealed = await sealCard(key, card({ mailboxes: [{ peerId: mailbox, multiaddrs }] }));
  assert.deepEqual((await openCard(sealed, { nowMs: NOW_MS })).mailboxes[0]?.multiaddrs, multiaddrs);
});

void test('an address that is another one once it is written out', async () => {
  // dns4 with the name "a/tcp/1", which would be shown and remembered as two components.
  const name = Buffer.from('a/tcp/1');
  const address = Buffer.concat([Uint8Array.of(0x36, name.byteLength), name]);
  await refused(openCard(await sealedUnchecked({}, address), { nowMs: NOW_MS }), 'malformed');
});

void test('peer ids and addresses that would take long to read are not read', async () => {
  const long = `Qm${'z'.repeat(3000)}`;
  await refused(sealCard(key, card({ mailboxes: [{ peerId: long, multiaddrs: [] }] })), 'malformed');
  const address = Buffer.concat([Uint8Array.of(0xa5, 0x03, 0xb8, 0x17), new Uint8Array(3000).fill(0xff)]);
  await refused(openCard(await sealedUnchecked({}, address), { nowMs: NOW_MS }), 'too-large');
});
