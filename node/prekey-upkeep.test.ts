import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPost } from './sealed-mail-fixture.ts';
import type { MailNode } from './sealed-mail-fixture.ts';

const DAY_MS = 24 * 3600_000;

const secretsOf = ({ store }: MailNode): number =>
  store.database.prepare('SELECT count(*) AS n FROM own_prekeys').get()!['n'] as number;

void test('a mailbox is given a hundred prekeys and a last resort, and no more until few are left', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const { mailbox } = ben;
  assert.equal(mailbox.oneTime.length, 100);
  assert.ok(mailbox.lastResort);
  assert.equal(secretsOf(ben), 101);
  mailbox.oneTime.splice(0, 80);
  await ben.connect();
  assert.equal(mailbox.publications.length, 1);
  mailbox.oneTime.splice(0, 1);
  await ben.connect();
  assert.deepEqual(mailbox.publications.at(-1), { oneTime: 81, replace: false });
  assert.equal(mailbox.oneTime.length, 100);
});

void test('the last resort is another one after a week', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const first = ben.mailbox.lastResort!.id;
  post.clock.nowMs += 6 * DAY_MS;
  await ben.connect();
  assert.deepEqual(ben.mailbox.lastResort!.id, first);
  post.clock.nowMs += 2 * DAY_MS;
  await ben.connect();
  assert.notDeepEqual(ben.mailbox.lastResort!.id, first);
  assert.ok(
    ben.store.operations['prekeys.own']({ ids: [first] })[0],
    'its secret is kept for what is on its way',
  );
  assert.deepEqual(ben.mailbox.publications.at(-1), { oneTime: 0, replace: false });
});

void test('of a publication that got no answer, secrets are kept if it came, and go if it did not', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const { mailbox } = ben;
  const fails = (after: () => void) => {
    mailbox.afterPublishing = () => {
      after();
      throw new Error('the connection was lost');
    };
  };
  mailbox.oneTime.splice(0, 90);
  const kept = [...mailbox.oneTime];
  fails(() => {
    mailbox.oneTime = kept;
  });
  for (let time = 0; time < 5; time++) await ben.connect();
  assert.equal(secretsOf(ben), 101 + 90, 'no more than of the last one');
  fails(() => undefined);
  await ben.connect();
  mailbox.afterPublishing = () => undefined;
  await ben.connect();
  assert.equal(mailbox.oneTime.length, 100);
  assert.equal(secretsOf(ben), 101 + 90);
  for (const secret of ben.store.operations['prekeys.own']({ ids: mailbox.oneTime.map(({ id }) => id) }))
    assert.ok(secret);
});

void test('a mailbox that always wants more is given more, and of what it had the oldest goes', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const first = ben.mailbox.oneTime[0]!.id;
  for (let time = 0; time < 12; time++) {
    ben.mailbox.oneTime = [];
    await ben.connect();
  }
  assert.equal(secretsOf(ben), 1001);
  assert.equal(ben.store.operations['prekeys.own']({ ids: [first] })[0], undefined);
  assert.ok(ben.store.operations['prekeys.own']({ ids: [ben.mailbox.oneTime[0]!.id] })[0]);
});

void test('prekeys whose secrets are lost are replaced', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const before = ben.mailbox.oneTime;
  ben.store.database.exec('DELETE FROM own_prekeys');
  ben.restart();
  await ben.connect();
  assert.deepEqual(ben.mailbox.publications.at(-1), { oneTime: 100, replace: true });
  assert.ok(ben.mailbox.oneTime.every((prekey) => !before.includes(prekey)));
});

void test('secrets are deleted a month after the prekey has expired, or the last resort was replaced', async (t) => {
  const post = openPost(t);
  const ben = await post.node();
  const { store } = ben;
  const expire = (): void =>
    store.operations['prekeys.expire']({ nowMs: post.clock.nowMs, keptMs: 30 * DAY_MS });
  post.clock.nowMs += 59 * DAY_MS;
  expire();
  assert.equal(secretsOf(ben), 101);
  post.clock.nowMs += 2 * DAY_MS;
  expire();
  assert.equal(secretsOf(ben), 1, 'a last resort without a successor stays');
  ben.mailbox.oneTime = [];
  await ben.connect();
  assert.equal(secretsOf(ben), 102);
  post.clock.nowMs += 31 * DAY_MS;
  expire();
  assert.equal(secretsOf(ben), 101);
});
