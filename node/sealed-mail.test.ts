import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortFrames } from '../protocols/chat/decisions.ts';
import { encodeBundle } from '../protocols/chat/protocol.ts';
import { readSealed } from '../protocols/mailbox/sealed.ts';
import { peerIdOf } from './peer-ids.ts';
import { eventually, openPost } from './sealed-mail-fixture.ts';
import type { MailNode, Post } from './sealed-mail-fixture.ts';

const { signal } = new AbortController();
const HOUR_MS = 3600_000;

/** Two who know each other, and a word that has gone through. */
async function friends(post: Post): Promise<[ada: MailNode, ben: MailNode]> {
  const [ada, ben] = [await post.node(), await post.node()];
  await ada.write(ben, 'hello');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello']);
  return [ada, ben];
}

/** Writes, and waits until it lies in the mailbox. */
async function leave(from: MailNode, to: MailNode, text: string): Promise<void> {
  const before = to.mailbox.blobs.length;
  await from.write(to, text);
  await eventually(() => to.mailbox.blobs.length > before);
}

const TABLES = [
  'incoming_sessions',
  'own_prekeys',
  'outgoing_sessions',
  'received_prekeys',
  'session_notices',
];

function loseSessions({ store, ...node }: MailNode): void {
  for (const table of TABLES) store.database.exec(`DELETE FROM ${table}`);
  node.restart();
}

const rowsOf = ({ store }: MailNode, table: string): number =>
  store.database.prepare(`SELECT count(*) AS n FROM ${table}`).get()!['n'] as number;

void test('a first message is sealed to a prekey, which is gone when it has been opened; later ones are smaller', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  const id = ben.mailbox.oneTime[0]!.id;
  await leave(ada, ben, 'hello');
  const { blob } = ben.mailbox.blobs[0]!;
  assert.equal(blob.byteLength, 4096);
  assert.equal(Buffer.compare(readSealed(blob).opening!.prekeyId, id), 0);
  assert.ok(!Buffer.from(blob).includes('hello'));
  assert.ok(ben.store.operations['prekeys.own']({ ids: [id] })[0]);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello']);
  assert.equal(ben.store.operations['prekeys.own']({ ids: [id] })[0], undefined);
  await leave(ada, ben, 'and again');
  assert.equal(ben.mailbox.blobs[0]!.blob.byteLength, 1024);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'and again']);
});

void test('blobs that come twice, in another order or not at all are no trouble', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  for (let n = 0; n < 12; n++) await leave(ada, ben, `${n}`);
  const all = ben.mailbox.blobs;
  const lost = all[5]!;
  ben.mailbox.blobs = [...all.slice(6).toReversed(), ...all.slice(0, 5), ...all].filter(
    (blob) => blob !== lost,
  );
  await ben.drain();
  assert.equal(ben.texts().length, 12);
  await eventually(() => ada.mailbox.blobs.length > 0);
  await ada.drain();
  assert.ok(!ada.isDelivered(ben));
  await post.clock.pass(7 * HOUR_MS);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(
    ben.texts().toSorted(),
    ['hello', ...Array.from({ length: 12 }, (_, n) => `${n}`)].toSorted(),
  );
});

void test('a recipient on an old copy has everything sealed for it again that it can not open', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  const copy = ben.store.backup();
  await ada.write(ben, 'before');
  await post.until(() => ada.isDelivered(ben));
  // What it used up since the copy, and made since, it does not know of.
  await post.clock.pass(8 * 24 * HOUR_MS);
  ben.mailbox.oneTime = ben.mailbox.oneTime.slice(0, 10);
  await ben.connect();
  ben.mailbox.oneTime = ben.mailbox.oneTime.slice(50);
  await leave(ada, ben, 'one');
  await leave(ada, ben, 'two');
  ben.store.restore(copy);
  ben.restart();
  await ben.connect();
  assert.deepEqual(ben.mailbox.publications.at(-1), { oneTime: 100, replace: true });
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(
    ben.texts().filter((text) => text !== 'before'),
    ['one', 'two'],
  );
});

void test('a recipient that has lost its sessions, in the middle of one', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  await leave(ada, ben, 'one');
  loseSessions(ben);
  await leave(ada, ben, 'two');
  await ben.connect();
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'one', 'two']);
  await ada.write(ben, 'three');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'one', 'two', 'three']);
});

void test('two that have both lost their sessions, with mail for each other under way', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  await ben.write(ada, 'hello, too');
  await post.until(() => ben.isDelivered(ada));
  await leave(ada, ben, 'from ada');
  await leave(ben, ada, 'from ben');
  for (const node of [ada, ben]) {
    // All but what it seals with: each goes on in a session that the other has lost.
    node.store.database.exec('DELETE FROM incoming_sessions; DELETE FROM own_prekeys');
    await node.connect();
  }
  await post.until(() => ada.isDelivered(ben) && ben.isDelivered(ada));
  assert.deepEqual(ben.texts(), ['hello', 'from ada']);
  assert.deepEqual(ada.texts(), ['hello, too', 'from ben']);
});

void test('a sender on an old copy never seals with keys that may have been used', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  const copy = ada.store.backup();
  await leave(ada, ben, 'lost to ada');
  await ben.drain();
  ada.store.restore(copy);
  ada.restart();
  await leave(ada, ben, 'written on the copy');
  assert.equal(readSealed(ben.mailbox.blobs.at(-1)!.blob).counter, 0, 'in a new session');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'lost to ada', 'written on the copy']);
});

void test('an acknowledgement that shows an old copy ends all sessions', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  const copy = ada.store.backup();
  await leave(ada, ben, 'lost to ada');
  await ben.drain();
  await eventually(() => ada.mailbox.blobs.length > 0);
  const [receipt] = ada.mailbox.blobs;
  // Put back under a process that runs: nothing else tells it.
  ada.store.restore(copy);
  await ada.write(ben, 'on the copy');
  ada.mailbox.blobs = [receipt!];
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'lost to ada', 'on the copy']);
});

void test('what can not be committed stays in the mailbox, and nothing of it is used up', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  await leave(ada, ben, 'hello');
  const prekeys = rowsOf(ben, 'own_prekeys');
  const { call } = ben.store.client;
  ben.store.client.call = ((operation: string, ...rest: never[]) =>
    operation === 'sessions.take'
      ? Promise.reject(new Error('the disk is full'))
      : (call as (...all: unknown[]) => unknown)(operation, ...rest)) as typeof call;
  await assert.rejects(ben.drain(), /the disk is full/);
  assert.equal(rowsOf(ben, 'own_prekeys'), prekeys);
  assert.equal(rowsOf(ben, 'incoming_sessions'), 0);
  ben.store.client.call = call;
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello']);
});

void test('who wrote something is what its session proves, whoever the mailbox says left it', async (t) => {
  const post = openPost(t);
  const [ada, ben, eve] = [await post.node(), await post.node(), await post.node()];
  await leave(ada, ben, 'from ada');
  ben.mailbox.blobs[0]!.depositor = peerIdOf(eve.peerId);
  await ben.drain();
  const [message] = ben.store.operations['history.after']({ row: 0, limit: 10 });
  assert.equal(message?.peer, ada.peerId);
  assert.ok(ben.log.some((line) => line.includes('was left by')));
});

void test('garbage, an unsealed blob of an earlier version, and a bundle that is none are passed over', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  const seal = async (content: Uint8Array) => (await ada.sessions.seal(ben.peerId, content, { signal })).blob;
  const from = (blob: Uint8Array) => ({ depositor: peerIdOf(ada.peerId), depositedAtMs: 0, blob });
  const forged = await seal(encodeBundle([]));
  forged[200]! ^= 1;
  ben.mailbox.blobs = [
    from(new Uint8Array(0)),
    from(Uint8Array.of(0x0a, 3, 1, 2, 3)),
    from(new Uint8Array(1024).fill(1)),
    from(forged),
    from(await seal(Uint8Array.of(255, 255))),
    from(await seal(encodeBundle([Uint8Array.of(255, 255, 255)]))),
  ];
  await leave(ada, ben, 'behind it');
  await ben.drain();
  assert.equal(ben.mailbox.blobs.length, 0);
  assert.deepEqual(ben.texts(), ['hello', 'behind it']);
});

void test('a mailbox that makes up blobs of lost sessions does not have us tell of them without end', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  const told = (): number => rowsOf(ben, 'session_notices');
  for (let n = 0; n < 100; n++) {
    const blob = new Uint8Array(1024).fill(n + 1, 2, 18);
    blob.set([1, 0]);
    ben.mailbox.blobs.push({ depositor: peerIdOf(ada.peerId), depositedAtMs: 0, blob });
    await ben.drain();
  }
  await eventually(() => told() === 0);
  assert.ok(ada.mailbox.blobs.length <= 8);
  assert.ok(ben.mailbox.oneTime.length > 90);
});

void test('nothing waits for who has no prekeys yet, and it goes when there are some', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  const { oneTime, lastResort } = ben.mailbox;
  Object.assign(ben.mailbox, { oneTime: [], lastResort: undefined });
  await ada.write(ben, 'hello');
  await eventually(() => ada.delivery.troubleWith(ben.peerId)?.mailbox !== undefined);
  Object.assign(ben.mailbox, { oneTime, lastResort });
  await post.clock.pass(10 * 60_000);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello']);
});

void test('when only the last resort is left, many can write, nobody twice, and new ones are made', async (t) => {
  const post = openPost(t);
  const [ada, ben, eve] = [await post.node(), await post.node(), await post.node()];
  ben.mailbox.oneTime = [];
  await leave(ada, ben, 'from ada');
  await leave(eve, ben, 'from eve');
  ben.mailbox.blobs.push(...ben.mailbox.blobs);
  await post.until(() => ada.isDelivered(ben) && eve.isDelivered(ben));
  assert.deepEqual(ben.texts().toSorted(), ['from ada', 'from eve']);
  await post.clock.pass(10_000);
  await eventually(() => ben.mailbox.oneTime.length > 90);
});

void test('a session goes on when no new one is to be had, and a new one begins when it is due', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  // Until Ben's daemon has looked after its stock.
  await post.clock.pass(10_000);
  const sessionOf = () => Buffer.from(readSealed(ben.mailbox.blobs.at(-1)!.blob).sessionId).toString('hex');
  await leave(ada, ben, 'one');
  const first = sessionOf();
  const { oneTime, lastResort } = ben.mailbox;
  Object.assign(ben.mailbox, { oneTime: [], lastResort: undefined });
  await post.clock.pass(25 * HOUR_MS);
  await leave(ada, ben, 'two');
  assert.equal(sessionOf(), first);
  Object.assign(ben.mailbox, { oneTime, lastResort });
  await post.clock.pass(HOUR_MS);
  await leave(ada, ben, 'three');
  assert.notEqual(sessionOf(), first);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'one', 'two', 'three']);
});

void test('a friend that says again and again that it lost its session is not sealed for without end', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  await leave(ada, ben, 'one');
  let claims = 0;
  for (let seen = 0; claims < 30; claims++) {
    const { sessionId } = readSealed(ben.mailbox.blobs.at(-1)!.blob);
    seen = ben.mailbox.blobs.length;
    await ada.delivery.decisions.sessionNotice(ben.peerId, {
      opened: [],
      lost: [Uint8Array.from(sessionId)],
    });
    if (claims < 8) await eventually(() => ben.mailbox.blobs.length > seen);
    else assert.equal(ben.mailbox.blobs.length, seen);
  }
  // What is not its session moves nothing.
  const before = ben.mailbox.blobs.length;
  await ada.delivery.decisions.sessionNotice(ben.peerId, { opened: [], lost: [new Uint8Array(16)] });
  assert.equal(ben.mailbox.blobs.length, before);
  await post.clock.pass(7 * HOUR_MS);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'one']);
});

void test('a new session begins with a prekey that its owner has handed over, and no mailbox is asked', async (t) => {
  const post = openPost(t);
  const [ada, ben] = await friends(post);
  await post.clock.pass(1);
  const answer = await ben.delivery.decisions.prekeysWanted(ada.peerId);
  await sortFrames(answer).tell(ada.delivery.decisions, ben.peerId);
  Object.assign(ben.mailbox, { oneTime: [], lastResort: undefined });
  await leave(ada, ben, 'one');
  const { opening } = readSealed(ben.mailbox.blobs[0]!.blob);
  assert.ok(ben.store.operations['prekeys.own']({ ids: [opening!.prekeyId] })[0]);
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(ben.texts(), ['hello', 'one']);
  assert.equal(ben.store.operations['prekeys.handed']({ peer: ada.peerId }), 1);
});
