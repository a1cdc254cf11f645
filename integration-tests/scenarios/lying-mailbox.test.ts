import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { PREKEY_ID_BYTES } from '../../protocols/mailbox/prekey-frames.ts';
import {
  KEM_CIPHERTEXT_BYTES,
  layOutSealed,
  NONCE_BYTES,
  SESSION_ID_BYTES,
  sessionIdOf,
} from '../../protocols/mailbox/sealed.ts';
import {
  conversation,
  held,
  leftBy,
  meet,
  peopleByMailbox,
  shown,
  taken,
  whole,
} from '../harness/by-mailbox.ts';
import { lyingMailbox } from '../harness/lying-mailbox.ts';
import type { Handed } from '../harness/lying-mailbox.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

/** A blob with one byte changed. */
function changed(blob: Uint8Array, at: number): Uint8Array {
  const index = (at + blob.length) % blob.length;
  return blob.with(index, blob[index]! ^ 0x40);
}

scenario(
  'a mailbox replays, doubles and reorders blobs: each message is shown once, in order',
  async (town) => {
    await using box = await lyingMailbox(town);
    const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [box]);
    const texts = ['one', 'two', 'three', 'four'];
    const left = await held(box, ada, ben, texts);
    box.hand(ben.peerId, left.toReversed());
    assert.deepEqual((await ben.texts(4)).toSorted(), texts.toSorted());
    for (const _time of [1, 2]) box.hand(ben.peerId, [...left, ...left.toReversed()]);
    await taken(box, ben, town);
    assert.deepEqual(await conversation(ben, 'ada', town), whole(texts));

    // And once more, to a daemon that has just started.
    await ben.program.stop();
    box.hand(ben.peerId, left);
    await ben.program.start();
    await taken(box, ben, town);
    await ada.send(ben.peerId, 'five');
    await ben.texts(5);
    assert.deepEqual(await conversation(ben, 'ada', town), whole([...texts, 'five']));
  },
);

scenario(
  'a mailbox hands blobs to somebody else and names others as their depositors: authors stay who they are',
  async (town) => {
    await using box = await lyingMailbox(town);
    const { ada, ben, cyd } = await peopleByMailbox(town, ['ada', 'ben', 'cyd'], [box]);
    const fromAda = await held(box, ada, ben, ['by ada']);
    const fromCyd = await held(box, cyd, ben, ['by cyd']);
    const forCyd = await held(box, ada, cyd, ['for cyd']);
    const by = ({ peerId: depositor }: { peerId: string }, blobs: readonly Handed[]): Handed[] =>
      blobs.map(({ blob }) => ({ depositor, blob }));
    // Everybody's blobs, to those they are not for.
    box.hand(cyd.peerId, [...fromAda, ...by(ben, fromCyd)]);
    box.hand(ben.peerId, [...forCyd, ...by(cyd, fromAda), ...by(box, fromCyd), ...by(ben, fromCyd)]);
    await taken(box, cyd, town);
    await taken(box, ben, town);
    assert.deepEqual((await shown(ben)).toSorted(), ['ada: by ada', 'cyd: by cyd']);
    assert.deepEqual(await shown(cyd), []);
    box.hand(cyd.peerId, by(ben, forCyd));
    await cyd.texts(1);
    assert.deepEqual(await shown(cyd), ['ada: for cyd']);

    // What was said about sessions that are somebody else's has made nobody seal anything again.
    const before = leftBy(box, ada, cyd).length;
    const id = await ada.send(cyd.peerId, 'and then');
    await cyd.texts(2);
    await ada.reached(id, 'delivered');
    assert.ok(leftBy(box, ada, cyd).length - before < 4);
    assert.deepEqual(await conversation(ben, 'cyd', town), whole(['by cyd']));
  },
);

scenario(
  'a mailbox drops and damages blobs: nothing is shown, and all arrives when the two meet',
  async (town) => {
    const { signal } = town;
    await using box = await lyingMailbox(town);
    const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [box]);
    const texts = ['changed', 'dropped', 'had before', 'refused', 'not answered for'];
    const left = await held(box, ada, ben, ['changed']);
    const damaged = left.flatMap(({ blob }) => [
      ...[0, 1, 2, 19, 20, 33, 60, 1_200, -17, -1].map((at) => changed(blob, at)),
      blob.subarray(0, -1),
      blob.subarray(0, 1_024),
      Buffer.concat([blob, blob]),
      Buffer.alloc(blob.length),
      Uint8Array.of(1),
      new Uint8Array(0),
    ]);
    box.hand(
      ben.peerId,
      damaged.map((each) => ({ depositor: ada.peerId, blob: each })),
    );
    await taken(box, ben, town);
    await held(box, ada, ben, ['dropped']);
    box.deposits = 'claim';
    const claimed = await ada.send(ben.peerId, 'had before', 'stored');
    const waiting: string[] = [];
    for (const [lie, text] of [
      ['refuse', 'refused'],
      ['silent', 'not answered for'],
    ] as const) {
      box.deposits = lie;
      const sent = { to: ben.peerId, text, wait: 'stored' as const, timeoutMs: 500 };
      const { id, state } = await ada.client.call('send', sent, { signal });
      assert.equal(state, 'queued');
      waiting.push(id);
    }
    assert.deepEqual(await ben.inbox(), []);

    await meet(ada, ben, town);
    for (const id of [claimed, ...waiting]) await ada.reached(id, 'delivered');
    // What comes through the mailbox after all is known by then.
    box.deposits = 'keep';
    box.hand(ben.peerId, leftBy(box, ada, ben));
    await taken(box, ben, town);
    assert.deepEqual(await conversation(ben, 'ada', town), whole(texts));
    assert.equal((await ben.inbox()).length, texts.length);
  },
);

/** A blob to a prekey that nobody has, or in a session that nobody has opened. */
function forged(withOpening: boolean): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const content = randomBytes(100);
  if (!withOpening)
    return layOutSealed({ sessionId: randomBytes(SESSION_ID_BYTES), counter: 7, nonce }, { content }).blob;
  const opening = {
    prekeyId: randomBytes(PREKEY_ID_BYTES),
    kemCiphertext: randomBytes(KEM_CIPHERTEXT_BYTES),
  };
  return layOutSealed({ sessionId: sessionIdOf(opening), counter: 0, nonce, opening }, { content }).blob;
}

scenario(
  'a mailbox makes up blobs that can not be opened: nobody is made to say or seal much',
  async (town) => {
    await using box = await lyingMailbox(town);
    const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [box]);
    await ada.send(ben.peerId, 'one', 'stored');
    await ben.texts(1);
    const strangers = await Promise.all(Array.from({ length: 50 }, () => generateKeyPair('Ed25519')));
    for (const depositor of [ada.peerId, ...strangers.map(({ publicKey }) => publicKey.toString())]) {
      const blobs = Array.from({ length: 10 }, (_, index) => forged(index % 2 === 0));
      box.hand(
        ben.peerId,
        blobs.map((blob) => ({ depositor, blob })),
      );
    }
    await taken(box, ben, town);
    const id = await ada.send(ben.peerId, 'two', 'stored');
    await ben.texts(2);
    await ada.reached(id, 'delivered');
    assert.deepEqual(await shown(ben), ['ada: one', 'ada: two']);
    assert.ok(leftBy(box, ada, ben).length < 6, `${leftBy(box, ada, ben).length} blobs of ada's`);
    const ofBen = box.left.filter(({ depositor }) => depositor === ben.peerId);
    assert.ok(ofBen.length < 20, `${ofBen.length} blobs of ben's`);
  },
);

scenario(
  'a mailbox hands out what blocked people left: nothing of it is shown, and a stranger stays a request',
  async (town) => {
    const { signal } = town;
    await using box = await lyingMailbox(town);
    const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [box]);
    const eve = await town.daemon('eve', { bootstrap: [box.multiaddr], friends: false });
    await ada.send(ben.peerId, 'before', 'stored');
    await ben.texts(1);
    const [fromAda, fromEve] = [
      await held(box, ada, ben, ['one', 'two']),
      await held(box, eve, ben, ['let me in', 'let me in, please']),
    ];
    await ben.client.call('block', { who: ada.peerId }, { signal });
    box.hand(ben.peerId, [...fromAda, ...fromAda.map(({ blob }) => ({ depositor: eve.peerId, blob }))]);
    box.hand(ben.peerId, [...fromEve, ...fromEve.map(({ blob }) => ({ depositor: ada.peerId, blob }))]);
    await taken(box, ben, town);
    assert.deepEqual(await shown(ben), ['ada: before']);
    const requests = await waitFor(
      'the request',
      async () => {
        const found = await ben.client.call('requests', {}, { signal });
        return found.requests.length > 0 && found.requests;
      },
      { signal },
    );
    assert.deepEqual(
      requests.map(({ peerId, text }) => [peerId, text]),
      [[eve.peerId, 'let me in']],
    );
  },
);

scenario('of two mailboxes one lies: all comes through the other, at once', async (town) => {
  await using liar = await lyingMailbox(town);
  await using honest = await lyingMailbox(town);
  const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [liar, honest]);
  const texts: string[] = [];
  for (const lie of ['hold', 'claim', 'silent'] as const) {
    liar.deposits = lie;
    await ada.send(ben.peerId, lie, 'stored');
    texts.push(lie);
    assert.deepEqual(await ben.texts(texts.length), texts);
  }
  liar.deposits = 'keep';
  liar.hand(ben.peerId, leftBy(liar, ada, ben).toReversed());
  await taken(liar, ben, town);
  assert.deepEqual(await conversation(ben, 'ada', town), whole(texts));
});
