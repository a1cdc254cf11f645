import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import fc from 'fast-check';
import { sealCard } from '../contact-card/card.ts';
import { countersign, openProposal, proposeCertificate } from '../phonebook/certificate.ts';
import { recordStore } from './record-store.ts';
import { CARD_NAMESPACE, cardKey, NAME_NAMESPACE, nameKey, newestRecords, recordRules } from './records.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const DAY_MS = 24 * 60 * 60 * 1000;
const TEN_YEARS_MS = 3652 * DAY_MS;

let owner: Ed25519PrivateKey;
let phonebook: Ed25519PrivateKey;

before(async () => {
  [owner, phonebook] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')]);
});

async function certificate(
  seq: number,
  { name = 'bob', expiresMs = NOW_MS + 30 * DAY_MS } = {},
): Promise<Uint8Array> {
  const wanted = { name, phonebook: phonebook.publicKey.toString(), seq, expiresMs };
  return countersign(phonebook, await openProposal(await proposeCertificate(owner, wanted)));
}

function card(seq: number): Promise<Uint8Array> {
  const peerId = owner.publicKey.toString();
  return sealCard(owner, { peerId, mailboxes: [], seq, expiresMs: NOW_MS + 30 * DAY_MS });
}

void test('keys have the form that kad-dht takes apart', () => {
  assert.equal(Buffer.from(nameKey('12D3KooWx', 'иван')).toString(), '/tincan-name/12D3KooWx/иван');
  assert.equal(Buffer.from(cardKey('12D3KooWx')).toString(), '/tincan-card/12D3KooWx');
});

void test('a record is valid under its own key only', async () => {
  const { validators } = recordRules({ nowMs: () => NOW_MS });
  const names = validators[NAME_NAMESPACE]!;
  const cards = validators[CARD_NAMESPACE]!;
  const key = nameKey(phonebook.publicKey.toString(), 'bob');
  await names(key, await certificate(1));
  const misplaced = { name: 'MisplacedRecordError' };
  await assert.rejects(async () => names(key, await certificate(1, { name: 'eve' })), misplaced);
  await assert.rejects(
    async () => names(Buffer.concat([key, Buffer.from('/')]), await certificate(1)),
    misplaced,
  );
  await assert.rejects(
    async () => names(nameKey(owner.publicKey.toString(), 'bob'), await certificate(1)),
    misplaced,
  );
  await cards(cardKey(owner.publicKey.toString()), await card(1));
  await assert.rejects(async () => cards(cardKey(phonebook.publicKey.toString()), await card(1)), misplaced);
  await assert.rejects(async () => cards(key, await certificate(1)), { name: 'InvalidContactCardError' });
});

void test('nothing older comes after something newer, and the first of equals stays', async () => {
  let nowMs = NOW_MS;
  const { validators } = recordRules({ nowMs: () => nowMs });
  const validate = async (value: Uint8Array): Promise<void> =>
    validators[NAME_NAMESPACE]!(nameKey(phonebook.publicKey.toString(), 'bob'), value);
  const fifth = await certificate(5);
  await validate(await certificate(4));
  await validate(fifth);
  await validate(fifth);
  const stale = { name: 'StaleRecordError' };
  await assert.rejects(async () => validate(await certificate(4)), stale);
  await assert.rejects(async () => validate(await certificate(5, { expiresMs: NOW_MS + DAY_MS })), stale);
  nowMs += 31 * DAY_MS;
  await assert.rejects(validate(fifth), { code: 'expired' });
  await validate(await certificate(1, { expiresMs: nowMs + DAY_MS }));
});

void test('a clock ten years off refuses, and forgets nothing', async () => {
  let nowMs = NOW_MS;
  const { validators } = recordRules({ nowMs: () => nowMs });
  const validate = async (value: Uint8Array): Promise<void> =>
    validators[CARD_NAMESPACE]!(cardKey(owner.publicKey.toString()), value);
  await validate(await card(2));
  nowMs = NOW_MS + TEN_YEARS_MS;
  await assert.rejects(async () => validate(await card(3)), { code: 'expired' });
  nowMs = NOW_MS - TEN_YEARS_MS;
  await assert.rejects(async () => validate(await card(3)), { code: 'not-yet-valid' });
  nowMs = NOW_MS;
  await assert.rejects(async () => validate(await card(1)), { name: 'StaleRecordError' });
  await validate(await card(2));
});

void test('the selector takes the highest seq that is valid', async () => {
  const { selectors } = recordRules({ nowMs: () => NOW_MS });
  const key = nameKey(phonebook.publicKey.toString(), 'bob');
  const values = [await certificate(2), Buffer.from('noise'), await certificate(7), await certificate(3)];
  assert.equal(await selectors[NAME_NAMESPACE]!(key, values), 2);
  values.push(await certificate(9, { name: 'eve' }));
  assert.equal(await selectors[NAME_NAMESPACE]!(key, values), 2);
  assert.equal(await selectors[NAME_NAMESPACE]!(key, [await certificate(3), await certificate(3)]), 0);
});

void test('the seq of a remembered key never falls', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(9))), (puts) => {
      const newest = newestRecords(5);
      const model = new Map<number, number>();
      for (const [key, seq] of puts) {
        const check = (): void =>
          newest.check(Uint8Array.of(key), Uint8Array.of(seq), { seq, expiresMs: NOW_MS + 1 }, NOW_MS);
        if (seq < (model.get(key) ?? 0)) {
          assert.throws(check, { name: 'StaleRecordError' });
        } else {
          check();
          model.set(key, seq);
        }
      }
    }),
  );
});

void test('what is remembered is bounded', () => {
  const newest = newestRecords(5);
  for (let key = 0; key < 20; key++) {
    newest.check(Uint8Array.of(key), Uint8Array.of(), { seq: 1, expiresMs: NOW_MS + 1 }, NOW_MS);
  }
  assert.equal(newest.size, 5);
});

void test('the record store stays within its bytes and drops the oldest', async () => {
  const store = recordStore(2100);
  const key = (text: string) => ({ toString: () => text }) as unknown as Parameters<typeof store.put>[0];
  for (const id of ['/dht/record/a', '/dht/record/b', '/dht/record/a', '/dht/record/c', '/dht/record/d']) {
    await store.put(key(id), new Uint8Array(200));
  }
  assert.equal(await store.has(key('/dht/record/b')), false);
  const left = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of store.query({ prefix: '/dht/record/' })) keys.push(key.toString());
    return keys;
  };
  assert.deepEqual(await left(), ['/dht/record/a', '/dht/record/c', '/dht/record/d']);
  assert.throws(() => store.get(key('/dht/record/b')), { name: 'NotFoundError' });
  assert.throws(() => store.put(key('/dht/provider/x/y'), new Uint8Array()), /not kept/);
  await store.put(key('/dht/record/e'), new Uint8Array(5000));
  assert.deepEqual(await left(), []);
});
