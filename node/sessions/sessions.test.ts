import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PrekeyError } from '../../protocols/mailbox/prekey.ts';
import {
  layOutSealed,
  MAX_SEALED_CONTENT_BYTES,
  MAX_SESSION_BLOBS,
  openingText,
  readSealed,
  SealedError,
  sessionIdOf,
} from '../../protocols/mailbox/sealed.ts';
import type { SealedErrorCode } from '../../protocols/mailbox/sealed.ts';
import { encrypt, keyOf, overwriteKeys } from './chain.ts';
import { decodeIncoming, encodeIncoming, takeInSession, takeSealed } from './incoming.ts';
import type { IncomingSession, Known } from './incoming.ts';
import {
  confirmed,
  decodeOutgoing,
  encodeOutgoing,
  RENEW_AFTER_BLOBS,
  RENEW_AFTER_MS,
  renewal,
  seal,
  SealingError,
  startSession,
} from './outgoing.ts';
import type { OutgoingSession } from './outgoing.ts';
import { decodeOwnPrekey, encodeOwnPrekey, makePrekey } from './prekeys.ts';
import { coinsOf, nonceOf, person, secretKeyOf } from './sessions-fixture.ts';
import { SessionStateError } from './state.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const alice = await person('alice');
const bob = await person('bob');
const eve = await person('eve');
const expiresMs = NOW_MS + 1e9;
const { prekey } = await makePrekey(bob.identity, {
  kind: 'one-time',
  expiresMs,
  secretKey: secretKeyOf('one'),
});
const fresh = await startSession(alice.identity, {
  recipient: bob.peer,
  prekey,
  nowMs: NOW_MS,
  coins: coinsOf('one'),
});
const known: Known = { recipient: bob.peer, nowMs: NOW_MS, prekey };

const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const read = (content: Uint8Array): string => new TextDecoder().decode(content);

/** Seals `count` blobs that say their number. */
function sealAll(from: OutgoingSession, count: number): { blobs: Uint8Array[]; session: OutgoingSession } {
  let session = from;
  const blobs: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const sealed = seal(session, text(`${session.counter}`), { nonce: nonceOf(`${session.counter}`) });
    session = sealed.session;
    blobs.push(sealed.blob);
  }
  return { blobs, session };
}

const take = async (blob: Uint8Array, has: Partial<Known> = {}) =>
  takeSealed(readSealed(blob), { ...known, ...has });

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const numbersLeft = ({ chain }: IncomingSession): number[] => chain.keys.map(({ counter }) => counter);

const refusedAs = (code: SealedErrorCode) => (error: unknown) =>
  error instanceof SealedError && error.code === code;

test('each blob opens by itself until the recipient is known to have the session', async () => {
  const { blobs } = sealAll(fresh, 3);
  for (const [index, blob] of blobs.entries()) {
    const taken = await take(blob);
    assert.equal(read(taken.content), `${index}`);
    assert.deepEqual(taken.sender, alice.peer);
    assert.deepEqual(taken.usedPrekey, prekey.id);
    assert.deepEqual(
      numbersLeft(taken.session),
      numbers(8).filter((each) => each !== index),
    );
  }
});

test('a confirmed session sends small blobs, which open with the session alone', async () => {
  const first = sealAll(fresh, 1);
  assert.equal(first.blobs[0]!.byteLength, 4096);
  const { session } = await take(first.blobs[0]!);
  const { blobs } = sealAll(confirmed(first.session), 2);
  assert.equal(blobs[0]!.byteLength, 1024);
  const taken = await take(blobs[1]!, { session, prekey: undefined });
  assert.equal(read(taken.content), '2');
  assert.equal(taken.usedPrekey, undefined);
  await assert.rejects(take(blobs[0]!), refusedAs('unknown-session'));
});

test('blobs in any order, each of them once', async () => {
  const { blobs } = sealAll(fresh, 40);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 39 }), { minLength: 1, maxLength: 80 }), async (order) => {
      let session: IncomingSession | undefined;
      const seen = new Set<number>();
      for (const index of order) {
        if (seen.has(index)) {
          await assert.rejects(take(blobs[index]!, { session }), refusedAs('used-key'));
          continue;
        }
        const taken = await take(blobs[index]!, { session });
        seen.add(index);
        assert.equal(read(taken.content), `${index}`);
        session = decodeIncoming(encodeIncoming(taken.session));
        assert.deepEqual(encodeIncoming(session), encodeIncoming(taken.session));
        const derived = 8 * Math.ceil((Math.max(...seen) + 1) / 8);
        assert.deepEqual(
          numbersLeft(session),
          numbers(derived).filter((each) => !seen.has(each)),
        );
      }
    }),
    { numRuns: 20 },
  );
});

test('a refused blob changes nothing', async () => {
  const { blobs } = sealAll(fresh, 3);
  const { session } = await take(blobs[1]!);
  const before = encodeIncoming(session);
  const broken = Buffer.from(blobs[2]!);
  broken[3000]! ^= 1;
  await assert.rejects(take(broken, { session }), refusedAs('forged'));
  const late = Buffer.from(blobs[0]!);
  late[3000]! ^= 1;
  await assert.rejects(take(late, { session }), refusedAs('forged'));
  assert.deepEqual(encodeIncoming(session), before);
  assert.equal(read((await take(blobs[2]!, { session })).content), '2');
  assert.equal(read((await take(blobs[0]!, { session })).content), '0');
});

test('whatever byte is changed, nothing is read', async () => {
  const { session } = await take(sealAll(fresh, 1).blobs[0]!);
  const { blobs } = sealAll(confirmed(sealAll(fresh, 1).session), 1);
  for (let index = 0; index < blobs[0]!.byteLength; index++) {
    const changed = Buffer.from(blobs[0]!);
    changed[index]! ^= 1;
    await assert.rejects(take(changed, { session, prekey: undefined }), SealedError, `byte ${index}`);
  }
  const [withOpening] = sealAll(fresh, 1).blobs;
  for (let index = 0; index < withOpening!.byteLength; index += index < 40 ? 1 : 211) {
    const changed = Buffer.from(withOpening!);
    changed[index]! ^= 1;
    await assert.rejects(take(changed), SealedError, `byte ${index}`);
  }
});

test("without the prekey's secret there is nothing to open", async () => {
  const [blob] = sealAll(fresh, 1).blobs;
  await assert.rejects(take(blob!, { prekey: undefined }), refusedAs('unknown-prekey'));
  const { prekey: other } = await makePrekey(bob.identity, {
    kind: 'one-time',
    expiresMs,
    secretKey: secretKeyOf('two'),
  });
  await assert.rejects(take(blob!, { prekey: other }), refusedAs('unknown-prekey'));
  await assert.rejects(take(blob!, { prekey: { ...other, id: prekey.id } }), refusedAs('forged'));
  for (const code of ['unknown-prekey', 'unknown-session'] as const) {
    assert.ok(new SealedError('', code).needsResealing);
  }
  assert.ok(!new SealedError('', 'forged').needsResealing);
});

test('a blob for somebody else does not open, even with the same prekey', async () => {
  const [blob] = sealAll(fresh, 1).blobs;
  await assert.rejects(take(blob!, { recipient: eve.peer }), refusedAs('forged'));
});

test("an opening under another's name is refused", async () => {
  const { opening } = fresh;
  assert.ok(opening !== undefined);
  const [impostor] = sealAll({ ...fresh, opening: { ...opening, sender: eve.peer } }, 1).blobs;
  await assert.rejects(take(impostor!), refusedAs('bad-signature'));

  // Eve opens a session of her own and puts in an opening that Alice once signed.
  const evesSession = await startSession(eve.identity, {
    recipient: bob.peer,
    prekey,
    nowMs: NOW_MS,
    coins: coinsOf('eve'),
  });
  const { sender, signature } = opening;
  const [replayed] = sealAll(
    { ...evesSession, opening: { ...evesSession.opening!, sender, signature } },
    1,
  ).blobs;
  await assert.rejects(take(replayed!), refusedAs('bad-signature'));
});

test('a sender whose id holds no key, or one of small order, has signed nothing', async () => {
  const { opening } = fresh;
  for (const key of ['00'.repeat(32), 'ff'.repeat(32), `01${'00'.repeat(31)}`, `02${'00'.repeat(31)}`]) {
    const sender = Buffer.from(`002408011220${key}`, 'hex');
    const [blob] = sealAll({ ...fresh, opening: { ...opening!, sender } }, 1).blobs;
    await assert.rejects(take(blob!), refusedAs('bad-signature'));
  }
});

test('a signature binds both peers, the prekey and its key, the ciphertext and the session', () => {
  const init = {
    sender: alice.peer,
    recipient: bob.peer,
    prekeyPublicKey: prekey.publicKey,
    sessionId: fresh.id,
    header: fresh.opening!,
  };
  const texts = [
    init,
    { ...init, sender: eve.peer },
    { ...init, recipient: eve.peer },
    { ...init, prekeyPublicKey: new Uint8Array(1216) },
    { ...init, sessionId: new Uint8Array(16) },
    { ...init, header: { ...init.header, prekeyId: new Uint8Array(16) } },
    { ...init, header: { ...init.header, kemCiphertext: new Uint8Array(1120) } },
  ].map((each) => openingText(each).toString('hex'));
  assert.equal(new Set(texts).size, texts.length);
  assert.equal(new Set(texts.map((each) => each.length)).size, 1);
});

test('a point of small order in an opening is malformed', async () => {
  const { opening, ...session } = fresh;
  const kemCiphertext = opening!.kemCiphertext.slice().fill(0, 1088);
  const header = { prekeyId: opening!.prekeyId, kemCiphertext };
  const [blob] = sealAll(
    { ...session, id: sessionIdOf(header), opening: { ...opening!, kemCiphertext } },
    1,
  ).blobs;
  await assert.rejects(take(blob!), refusedAs('malformed'));
  const badKey = prekey.publicKey.slice().fill(0, 1184);
  await assert.rejects(
    startSession(alice.identity, {
      recipient: bob.peer,
      prekey: { ...prekey, publicKey: badKey },
      nowMs: NOW_MS,
      coins: coinsOf('one'),
    }),
    (error) => error instanceof PrekeyError && error.code === 'unusable',
  );
});

test('what a sender sealed wrongly is malformed, and its key is not used up', async () => {
  const { session } = await take(sealAll(fresh, 1).blobs[0]!);
  const nonce = nonceOf('wrong');
  const laid = layOutSealed({ sessionId: fresh.id, counter: 1, nonce }, { content: new Uint8Array() });
  laid.plaintext.writeUInt32BE(0xffff_ffff, 0);
  const { key } = keyOf(fresh.chain, 1)!;
  encrypt({ key, nonce, header: laid.headerBytes, plaintext: laid.plaintext, tag: laid.tag });
  await assert.rejects(take(laid.blob, { session }), refusedAs('malformed'));
  assert.equal(read((await take(sealAll(fresh, 2).blobs[1]!, { session })).content), '1');
});

test('a blob of another session is not tried', async () => {
  const { session } = await take(sealAll(fresh, 1).blobs[0]!);
  const blob = readSealed(sealAll(fresh, 2).blobs[1]!);
  assert.throws(
    () => takeInSession(blob, { ...session, id: new Uint8Array(16) }, { nowMs: NOW_MS }),
    refusedAs('unknown-session'),
  );
});

test('a session ends after 512 blobs, of which all but the last may be missing', async () => {
  const { blobs, session } = sealAll(fresh, MAX_SESSION_BLOBS);
  assert.throws(
    () => seal(session, text('one more'), { nonce: nonceOf('') }),
    (error) => error instanceof SealingError && error.code === 'exhausted',
  );
  assert.equal(renewal(session, { nowMs: NOW_MS }), 'must');
  assert.equal(decodeOutgoing(encodeOutgoing(session)).counter, MAX_SESSION_BLOBS);
  const taken = await take(blobs.at(-1)!);
  assert.equal(taken.session.chain.keys.length, 511);
  assert.equal(encodeIncoming(taken.session).byteLength, 116 + 34 * 511);
  assert.deepEqual(decodeIncoming(encodeIncoming(taken.session)).chain, taken.session.chain);
  assert.equal(read((await take(blobs[7]!, { session: taken.session })).content), '7');
});

test('content of every size survives, what is too large is refused', async () => {
  let session = fresh;
  for (const length of [0, 1, 2806, 2807, 60_000, MAX_SEALED_CONTENT_BYTES]) {
    const content = new Uint8Array(length).fill(length & 0xff);
    const sealed = seal(session, content, { nonce: nonceOf(`${length}`) });
    session = sealed.session;
    assert.deepEqual(Uint8Array.from((await take(sealed.blob)).content), content);
  }
  assert.throws(
    () => seal(session, new Uint8Array(MAX_SEALED_CONTENT_BYTES + 1), { nonce: nonceOf('') }),
    (error) => error instanceof SealingError && error.code === 'too-large',
  );
});

test('a sender that was restored and seals with a key again gives nothing away', () => {
  const content = text('the same');
  const one = readSealed(seal(fresh, content, { nonce: nonceOf('before the backup was restored') }).blob);
  const two = readSealed(seal(fresh, content, { nonce: nonceOf('after') }).blob);
  assert.notDeepEqual(Buffer.from(one.ciphertext), Buffer.from(two.ciphertext));
});

test('randomness that is none is refused', async () => {
  const init = { recipient: bob.peer, prekey, nowMs: NOW_MS };
  for (const coins of [new Uint8Array(64), new Uint8Array(32).fill(1), new Uint8Array()]) {
    await assert.rejects(startSession(alice.identity, { ...init, coins }), RangeError);
  }
  const coins = coinsOf('one');
  await assert.rejects(
    startSession(alice.identity, { ...init, recipient: new Uint8Array(34), coins }),
    RangeError,
  );
  assert.throws(() => seal(fresh, text(''), { nonce: new Uint8Array(8) }), RangeError);
  for (const secretKey of [new Uint8Array(32), new Uint8Array(31).fill(1)]) {
    await assert.rejects(makePrekey(bob.identity, { kind: 'one-time', expiresMs, secretKey }), RangeError);
  }
});

test('a last-resort prekey opens many sessions, and is not used up', async () => {
  const { prekey: lastResort } = await makePrekey(bob.identity, {
    kind: 'last-resort',
    expiresMs,
    secretKey: secretKeyOf('last'),
  });
  for (const sender of [alice, eve]) {
    const session = await startSession(sender.identity, {
      recipient: bob.peer,
      prekey: lastResort,
      nowMs: NOW_MS,
      coins: coinsOf('last'),
    });
    const taken = await take(sealAll(session, 1).blobs[0]!, { prekey: lastResort });
    assert.deepEqual(taken.sender, sender.peer);
    assert.equal(taken.usedPrekey, undefined);
  }
});

test('when to renew', () => {
  const at = (ageMs: number, more: { counter?: number; prekeyArrivedMs?: number } = {}) =>
    renewal(
      { openedAtMs: NOW_MS, counter: more.counter ?? 1 },
      { nowMs: NOW_MS + ageMs, prekeyArrivedMs: more.prekeyArrivedMs },
    );
  assert.equal(at(0), 'keep');
  assert.equal(at(RENEW_AFTER_MS - 1), 'keep');
  assert.equal(at(RENEW_AFTER_MS), 'due');
  // The clock was set forth by years, or back: once each.
  assert.equal(at(1e12), 'due');
  assert.equal(at(-3600_000), 'due');
  assert.equal(at(-1000), 'keep');
  assert.equal(at(0, { counter: RENEW_AFTER_BLOBS - 1 }), 'keep');
  assert.equal(at(0, { counter: RENEW_AFTER_BLOBS }), 'due');
  assert.equal(at(0, { counter: MAX_SESSION_BLOBS - 1 }), 'due');
  assert.equal(at(0, { counter: MAX_SESSION_BLOBS }), 'must');
  assert.equal(at(1, { prekeyArrivedMs: NOW_MS }), 'keep');
  assert.equal(at(2, { prekeyArrivedMs: NOW_MS + 1 }), 'due');
});

test('states survive as bytes, and other bytes are none', () => {
  const states = [encodeOutgoing(fresh), encodeOutgoing(confirmed(fresh)), encodeOwnPrekey(prekey)];
  assert.deepEqual(encodeOutgoing(decodeOutgoing(states[0]!)), states[0]);
  assert.deepEqual(encodeOutgoing(decodeOutgoing(states[1]!)), states[1]);
  assert.deepEqual(encodeOwnPrekey(decodeOwnPrekey(states[2]!)), states[2]);
  assert.equal(decodeOutgoing(states[1]!).opening, undefined);
  assert.equal(decodeOwnPrekey(states[2]!).kind, 'one-time');
  assert.equal(encodeOutgoing(fresh).byteLength, 1341);
  assert.equal(encodeOutgoing(confirmed(fresh)).byteLength, 103);
  assert.equal(encodeOwnPrekey(prekey).byteLength, 1259);
  const decoders = [decodeOutgoing, decodeIncoming, decodeOwnPrekey];
  for (const state of states) {
    for (let length = 0; length < state.byteLength; length += length < 120 ? 1 : 97) {
      for (const decode of decoders)
        assert.throws(() => decode(state.subarray(0, length)), SessionStateError);
    }
    for (const decode of decoders) {
      assert.throws(() => decode(Buffer.concat([state, Buffer.alloc(1)])), SessionStateError);
      assert.throws(() => decode(state.with(0, 9)), SessionStateError);
    }
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
      for (const decode of decoders) assert.throws(() => decode(garbage), SessionStateError);
    }),
  );
  const zero = { ...confirmed(fresh), chain: { ...fresh.chain, chainKey: new Uint8Array(32) } };
  assert.throws(() => decodeOutgoing(encodeOutgoing(zero)), SessionStateError);
});

const isOverwritten = (key: Uint8Array): boolean => key.every((byte) => byte === 0);

test('keys that a state no longer has are overwritten, those it still has are not', async () => {
  const { blobs } = sealAll(fresh, 9);
  const { session: first } = await take(blobs[2]!);
  const { session: second } = await take(blobs[0]!, { session: first });
  const [usedKey, waitingKey] = first.chain.keys.map(({ key }) => key) as [Uint8Array, Uint8Array];
  overwriteKeys(first.chain, second.chain);
  assert.ok(isOverwritten(usedKey));
  assert.ok(!isOverwritten(waitingKey));
  assert.ok(!isOverwritten(second.chain.chainKey));
  const { session: third } = await take(blobs[8]!, { session: second });
  overwriteKeys(second.chain, third.chain);
  assert.ok(isOverwritten(second.chain.chainKey));
  assert.equal(read((await take(blobs[1]!, { session: third })).content), '1');
  overwriteKeys(third.chain);
  assert.ok(isOverwritten(waitingKey));
});

test('a blob that is forged leaves the keys of its session whole', async () => {
  const { blobs } = sealAll(fresh, 30);
  const { session } = await take(blobs[0]!);
  for (const index of [3, 29]) {
    const forged = Buffer.from(blobs[index]!);
    forged[2000]! ^= 1;
    await assert.rejects(take(forged, { session }), refusedAs('forged'));
    assert.equal(read((await take(blobs[index]!, { session })).content), `${index}`);
  }
  assert.ok(!session.chain.keys.some(({ key }) => isOverwritten(key)));
});

test('a sender keeps its state until the next is committed', () => {
  const { session } = sealAll(fresh, 3);
  const content = text('sealed twice, as the first was never committed');
  const nonce = nonceOf('again');
  assert.deepEqual(seal(session, content, { nonce }).blob, seal(session, content, { nonce }).blob);
  const { session: next } = seal(session, content, { nonce });
  overwriteKeys(session.chain, next.chain);
  assert.ok(!next.chain.keys.some(({ key }) => isOverwritten(key)));
});
