import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { makePrekey } from '../../node/sessions/prekeys.ts';
import { SECRET_KEY_BYTES } from '../../node/sessions/x-wing.ts';
import type { HeldPrekey } from '../../protocols/mailbox/prekey-frames.ts';
import { PREKEY_BYTES, signPrekey, XWING_PUBLIC_KEY_BYTES } from '../../protocols/mailbox/prekey.ts';
import {
  befriend,
  conversation,
  daemonsByMailbox,
  leftBy,
  meet,
  peopleByMailbox,
  shown,
  taken,
  whole,
} from '../harness/by-mailbox.ts';
import type { Daemon } from '../harness/daemon.ts';
import { lyingMailbox } from '../harness/lying-mailbox.ts';
import type { LyingMailbox } from '../harness/lying-mailbox.ts';
import { scenario } from '../harness/scenario.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

const DAY_MS = 24 * 3600_000;
const X25519_BYTES = 32;

/** How long a message is waited for that must not get through. */
const REFUSED_MS = 2_000;

/** How long one is waited for that must. */
const STORED_MS = 20_000;

/** Messages sent together: each asks the mailbox on a stream of its own, of which it allows few. */
const AT_A_TIME = 3;

/** As a mailbox says it has it: of what it says around it, nothing counts. */
function handedOut(prekey: Uint8Array): HeldPrekey {
  return { id: randomBytes(16), expiresMs: Date.now() + DAY_MS, prekey };
}

async function freshPrekey(owner: Ed25519PrivateKey, expiresMs = Date.now() + DAY_MS): Promise<Uint8Array> {
  const secretKey = randomBytes(SECRET_KEY_BYTES);
  return (await makePrekey(owner, { kind: 'one-time', expiresMs, secretKey })).bundle;
}

/** Signed by its owner, and no key. */
function signedKey(owner: Ed25519PrivateKey, publicKey: Uint8Array): Promise<Uint8Array> {
  return signPrekey(owner, { kind: 'one-time', publicKey, expiresMs: Date.now() + DAY_MS });
}

/** What a mailbox may hand out for a prekey of somebody, with whom it may even go along. */
const NO_PREKEYS: Record<string, (owner: Ed25519PrivateKey, box: LyingMailbox) => Promise<Uint8Array>> = {
  "somebody else's": async () => freshPrekey(await generateKeyPair('Ed25519')),
  "the operator's own": (_, { privateKey }) => freshPrekey(privateKey),
  'an expired one': (owner) => freshPrekey(owner, Date.now() - 1),
  'one bit changed': async (owner) => {
    const prekey = await freshPrekey(owner);
    return prekey.with(100, prekey[100]! ^ 1);
  },
  'a byte too few': async (owner) => (await freshPrekey(owner)).subarray(1),
  garbage: async () => randomBytes(PREKEY_BYTES),
  nothing: async () => new Uint8Array(0),
  'a key of small order': async (owner) => {
    const publicKey = Uint8Array.from((await freshPrekey(owner)).subarray(10, 10 + XWING_PUBLIC_KEY_BYTES));
    return signedKey(owner, publicKey.fill(0, -X25519_BYTES));
  },
  'a key that is all zero': (owner) => signedKey(owner, new Uint8Array(XWING_PUBLIC_KEY_BYTES)),
  'a key out of range': (owner) => signedKey(owner, new Uint8Array(XWING_PUBLIC_KEY_BYTES).fill(0xff)),
};

scenario(
  'nothing is sealed to what is no prekey of the recipient, and the sender is told why',
  async (town) => {
    const { signal } = town;
    await using box = await lyingMailbox(town);
    const { ada } = await peopleByMailbox(town, ['ada'], [box]);
    const handed = new Map<string, HeldPrekey>();
    const sendToSomebody = async (
      what: string,
      make: (owner: Ed25519PrivateKey) => Promise<Uint8Array>,
      timeoutMs = REFUSED_MS,
    ) => {
      const owner = await generateKeyPair('Ed25519');
      const to = owner.publicKey.toString();
      handed.set(to, handedOut(await make(owner)));
      await ada.client.call('addContact', { who: to, petname: what }, { signal });
      const sent = { to, text: 'for one of us', wait: 'stored' as const, timeoutMs };
      return { what, ...(await ada.client.call('send', sent, { signal })) };
    };
    box.onTake = (recipient) => handed.get(recipient);
    const lies = Object.entries(NO_PREKEYS);
    const refused: Awaited<ReturnType<typeof sendToSomebody>>[] = [];
    while (lies.length > 0) {
      const some = lies.splice(0, AT_A_TIME);
      refused.push(
        ...(await Promise.all(some.map(([what, make]) => sendToSomebody(what, (owner) => make(owner, box))))),
      );
    }
    const good = await sendToSomebody('a good one', (owner) => freshPrekey(owner), STORED_MS);
    assert.equal(good.state, 'stored', good.failure ?? '');
    for (const { what, to, state, failure } of refused) {
      assert.equal(state, 'queued', what);
      assert.match(failure ?? '', /prekey/, what);
      assert.deepEqual(
        box.left.filter(({ recipient }) => recipient === to),
        [],
        what,
      );
    }
  },
);

/** Waits until these have published prekeys. */
async function stocked(box: LyingMailbox, people: readonly Daemon[], { signal }: Town): Promise<void> {
  const hasStock = ({ peerId }: Daemon): boolean => (box.stocks.get(peerId)?.oneTime.length ?? 0) > 0;
  await waitFor('everybody to have published prekeys', () => people.every(hasStock), { signal });
}

scenario(
  "a mailbox hands out others' prekeys, then one twice, then honest ones: all arrives once",
  async (town) => {
    const { signal } = town;
    await using box = await lyingMailbox(town);
    const people = await daemonsByMailbox(town, ['ada', 'ben', 'cyd'], [box]);
    const { ada, ben, cyd } = people;
    await stocked(box, [ada, ben, cyd], town);
    box.onTake = (recipient) =>
      recipient === ben.peerId ? box.stocks.get(cyd.peerId)!.oneTime[0] : undefined;
    await befriend(people, [box], town);
    const sent = { to: ben.peerId, text: 'one', wait: 'stored' as const, timeoutMs: REFUSED_MS };
    assert.equal((await ada.client.call('send', sent, { signal })).state, 'queued');
    assert.deepEqual(leftBy(box, ada, ben), []);

    // Whoever comes second is told that it can't be opened, by way of the mailbox, and seals it again.
    const twice = box.stocks.get(ben.peerId)!.oneTime.shift()!;
    const takers = new Set<string>();
    box.onTake = (recipient, taker) => {
      const stock = box.stocks.get(recipient)!;
      if (recipient !== ben.peerId || takers.has(taker)) return stock.oneTime.shift();
      takers.add(taker);
      return handedOut(twice.prekey);
    };
    await ada.send(ben.peerId, 'two', 'stored');
    assert.deepEqual(await ben.texts(2), ['one', 'two']);
    const id = await cyd.send(ben.peerId, 'as well');
    await ben.texts(3);
    await cyd.reached(id, 'delivered');
    assert.deepEqual(await shown(ben), ['ada: one', 'ada: two', 'cyd: as well']);
  },
);

scenario(
  'a mailbox hands out one prekey for ever: nobody seals for ever, and who meets has it all',
  async (town) => {
    await using box = await lyingMailbox(town);
    const { ada, ben, cyd } = await daemonsByMailbox(town, ['ada', 'ben', 'cyd'], [box]);
    await stocked(box, [ada, ben, cyd], town);
    const same = box.stocks.get(ben.peerId)!.oneTime[0]!;
    box.onTake = (recipient) =>
      recipient === ben.peerId ? same : box.stocks.get(recipient)?.oneTime.shift();
    await befriend({ ada, ben }, [box], town);
    await ada.send(ben.peerId, 'first', 'stored');
    await ben.texts(1);
    // The prekey is used up by now.
    await befriend({ ben, cyd }, [box], town);
    const texts = ['one', 'two', 'three'];
    const ids: string[] = [];
    for (const text of texts) ids.push(await cyd.send(ben.peerId, text, 'stored'));
    await meet(cyd, ben, town);
    for (const id of ids) await cyd.reached(id, 'delivered');
    assert.deepEqual(await conversation(ben, 'cyd', town), whole(texts));
    assert.ok(leftBy(box, cyd, ben).length < 20, `${leftBy(box, cyd, ben).length} blobs`);
  },
);

scenario(
  'a mailbox hands out nothing but the last resort: all arrives, once, also when replayed',
  async (town) => {
    await using box = await lyingMailbox(town);
    const people = await daemonsByMailbox(town, ['ada', 'ben', 'cyd'], [box]);
    const { ada, ben, cyd } = people;
    await stocked(box, [ada, ben, cyd], town);
    box.onTake = (recipient) => box.stocks.get(recipient)?.lastResort;
    await befriend(people, [box], town);
    await ada.send(ben.peerId, 'by ada', 'stored');
    await ben.texts(1);
    await cyd.send(ben.peerId, 'by cyd', 'stored');
    await ben.texts(2);
    const all = [...leftBy(box, ada, ben), ...leftBy(box, cyd, ben)];
    box.hand(ben.peerId, all);
    await taken(box, ben, town);
    await ben.program.kill();
    box.hand(ben.peerId, all);
    await ben.program.start();
    await taken(box, ben, town);
    const id = await ada.send(ben.peerId, 'and again');
    await ada.reached(id, 'delivered');
    assert.deepEqual(await shown(ben), ['ada: by ada', 'cyd: by cyd', 'ada: and again']);
  },
);

scenario(
  'a mailbox miscounts prekeys: it is given a bounded number, and messages get through',
  async (town) => {
    await using box = await lyingMailbox(town);
    const { ada, ben } = await peopleByMailbox(town, ['ada', 'ben'], [box]);
    const published = (): number => box.publications.get(ben.peerId) ?? 0;
    await stocked(box, [ben], town);
    const texts: string[] = [];
    const counts: Record<string, () => Uint8Array[]> = {
      'none are left': () => [],
      'all are left': () => Array.from({ length: 100 }, () => randomBytes(16)),
      'there are too many': () => Array.from({ length: 5_000 }, () => randomBytes(16)),
    };
    for (const [what, count] of Object.entries(counts)) {
      box.onCount = count;
      const before = published();
      await ben.program.stop();
      await ada.send(ben.peerId, what, 'stored');
      await ben.program.start();
      texts.push(what);
      assert.deepEqual(await ben.texts(texts.length), texts);
      assert.ok(published() - before <= 2, `${what}: published ${published() - before} times`);
    }
  },
);
