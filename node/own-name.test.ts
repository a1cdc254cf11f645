import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { ownName } from './own-name.ts';
import type { OwnName, OwnNameInit } from './own-name.ts';
import { DAY_MS, fakePhonebook, NOON_MS, person } from './phonebook-fixture.ts';
import type { FakePhonebook, Person } from './phonebook-fixture.ts';
import { testStore } from './store/store-fixture.ts';

interface World {
  phonebooks: FakePhonebook[];
  me: Person;
  clock: { ms: number };
  changes: () => number;
  stop: AbortController;
  start(init?: Partial<OwnNameInit>): Promise<OwnName>;
}

async function world(t: TestContext, count = 2): Promise<World> {
  const store = testStore();
  t.after(() => store.close());
  const clock = { ms: NOON_MS };
  const phonebooks = await Promise.all(Array.from({ length: count }, () => fakePhonebook(() => clock.ms)));
  const me = await person();
  const stop = new AbortController();
  let changes = 0;
  return {
    phonebooks,
    me,
    clock,
    changes: () => changes,
    stop,
    start: (init) =>
      ownName({
        store: store.client,
        privateKey: me.key,
        nowMs: () => clock.ms,
        links: () => phonebooks.map(({ link }) => link),
        presence: async () => ({
          peerRecord: new Uint8Array(0),
          contactCard: new Uint8Array(0),
          listed: true,
        }),
        onChange: () => void changes++,
        phonebooks: phonebooks.map(({ id }) => id),
        configured: undefined,
        signal: stop.signal,
        ...init,
      }),
  };
}

const taken = { name: 'ControlError', code: 'conflict', field: 'name', message: /bob is taken/ };

void test('a configured name is claimed once, kept over restarts, and renewed at half of its time', async (t) => {
  const { phonebooks, clock, start, changes } = await world(t, 1);
  const [{ link, asked, given }] = phonebooks as [FakePhonebook];
  const own = await start({ configured: 'Bob' });
  assert.equal(own.name, null);
  await own.claimAt(link);
  await own.claimAt(link);
  assert.deepEqual(asked, ['claim bob']);
  assert.equal(own.name, 'bob');
  assert.equal(changes(), 1);
  assert.equal(own.certificates[0]?.certificate.phonebook, link.peerId.toString());

  const again = await start();
  assert.equal(again.name, 'bob');
  assert.deepEqual(again.certificate, own.certificate);
  await again.claimAt(link);
  assert.equal(asked.length, 1);
  clock.ms += 16 * DAY_MS;
  await again.claimAt(link);
  assert.equal(given.get('bob')?.seq, 2);
  clock.ms += 31 * DAY_MS;
  assert.equal(again.certificates.length, 0, 'an expired certificate proves nothing');
  assert.equal(again.certificate.byteLength, 0);
});

void test('one phonebook gives the name, another refuses: it is ours, and the refusal is thrown there each time', async (t) => {
  const { phonebooks, start } = await world(t);
  const [first, second] = phonebooks as [FakePhonebook, FakePhonebook];
  second.given.set('bob', (await second.give('bob', await person())).certificate);
  const own = await start();
  await own.claim('bob');
  assert.equal(own.name, 'bob');
  assert.deepEqual(
    own.certificates.map(({ certificate }) => certificate.phonebook),
    [first.id],
  );
  await own.claimAt(first.link);
  await assert.rejects(own.claimAt(second.link), { code: 'taken' });
});

void test('a name that nobody gives changes nothing; the reason a phonebook gave is told, not what the network did', async (t) => {
  const { phonebooks, start, changes } = await world(t);
  const [first, second] = phonebooks as [FakePhonebook, FakePhonebook];
  const own = await start();
  await own.claim('ada');
  first.before = () => {
    throw new Error('connection reset');
  };
  second.given.clear();
  second.given.set('bob', (await second.give('bob', await person())).certificate);
  await assert.rejects(own.claim('bob'), taken);
  assert.equal(own.name, 'ada');
  assert.equal(own.certificates.length, 2);
  assert.equal(changes(), 1);
  await own.claimAt(first.link);
});

void test('each refusal has its own code', async (t) => {
  const { phonebooks, start } = await world(t, 1);
  const [{ link }] = phonebooks as [FakePhonebook];
  const own = await start();
  for (const [error, code, message] of [
    [new PhonebookError('taken'), 'conflict', /taken/],
    [new PhonebookError('has-name', { heldName: 'ada' }), 'conflict', /ada/],
    [new PhonebookError('invalid-name'), 'invalid', /refuses the name/],
    [new PhonebookError('rate-limited'), 'rate-limited', /too often/],
    [new PhonebookError('unavailable'), 'unavailable', /disk/],
    [
      new PhonebookError('clock-skew', { clockAheadMs: 3650 * DAY_MS, phonebookTimeMs: NOON_MS }),
      'unavailable',
      /clock is 10 years ahead/,
    ],
    [new Error('reset'), 'unavailable', /reset/],
  ] as const) {
    phonebooks[0]!.before = () => {
      throw error;
    };
    await assert.rejects(own.claim('bob'), { name: 'ControlError', code, message });
  }
  await assert.rejects(own.claim('a b'), { code: 'invalid', field: 'name' });
  await assert.rejects((await start()).release(), { code: 'not-found' });
  link.status.state = 'down';
  await assert.rejects(own.claim('bob'), { code: 'unavailable' });
});

void test('a configured name that is refused leaves the old one, which is still renewed', async (t) => {
  const { phonebooks, clock, start } = await world(t, 1);
  const [{ link, given, asked }] = phonebooks as [FakePhonebook];
  await (await start()).claim('ada');
  const own = await start({ configured: 'bob' });
  await assert.rejects(own.claimAt(link), { code: 'has-name' });
  assert.equal(own.name, 'ada');
  assert.equal(own.certificates[0]?.certificate.name, 'ada');
  assert.equal(asked.length, 2);
  clock.ms += 20 * DAY_MS;
  await assert.rejects(own.claimAt(link), { code: 'has-name' });
  assert.equal(given.get('ada')?.expiresMs, clock.ms + 30 * DAY_MS);
});

void test('a name is released at once where that is possible, and later where a phonebook was away', async (t) => {
  const { phonebooks, start } = await world(t);
  const [first, second] = phonebooks as [FakePhonebook, FakePhonebook];
  const own = await start();
  await own.claim('bob');
  second.link.status.state = 'down';
  await own.release();
  assert.equal(own.name, null);
  assert.equal(own.certificates.length, 0, 'what is given up is not shown any more');
  assert.equal(own.certificate.byteLength, 0);
  assert.equal(first.given.size, 0);
  assert.equal(second.given.size, 1);

  const again = await start();
  assert.equal(again.name, null);
  second.link.status.state = 'connected';
  await again.claimAt(first.link);
  await again.claimAt(second.link);
  await again.claimAt(second.link);
  assert.equal(second.given.size, 0);
  assert.deepEqual(second.asked, ['claim bob', 'release bob']);
});

void test('one phonebook that fails does not keep the others from releasing', async (t) => {
  const { phonebooks, start } = await world(t);
  const [first, second] = phonebooks as [FakePhonebook, FakePhonebook];
  const own = await start();
  await own.claim('bob');
  first.before = () => {
    throw new Error('reset');
  };
  await own.release();
  assert.equal(second.given.size, 0);
  first.before = () => undefined;
  await own.claimAt(first.link);
  assert.equal(first.given.size, 0);
});

void test('a name that was claimed and not noted can be released, once a phonebook has said so', async (t) => {
  const { phonebooks, me, start } = await world(t, 1);
  const [{ link, given, give, asked }] = phonebooks as [FakePhonebook];
  given.set('bob', (await give('bob', me, 3)).certificate);
  const own = await start();
  await assert.rejects(own.release(), { name: 'ControlError', code: 'not-found' });
  await assert.rejects(own.claim('bobby'), { name: 'ControlError', code: 'conflict', message: /: bob$/ });
  await own.claimAt(link);
  assert.equal(given.size, 1, 'nobody has asked for that');
  await own.release();
  assert.equal(given.size, 0);
  await own.claim('bobby');
  assert.deepEqual([...given.keys()], ['bobby']);
  assert.deepEqual(asked, ['claim bobby', 'release bob', 'release bob', 'claim bobby']);
  await own.release();
  await assert.rejects(own.release(), { name: 'ControlError', code: 'not-found' });
});

void test('a claim on its way does not bring back a name that is released meanwhile', async (t) => {
  const { phonebooks, clock, start } = await world(t, 1);
  const [phonebook] = phonebooks as [FakePhonebook];
  const own = await start();
  await own.claim('bob');
  clock.ms += 20 * DAY_MS;
  const answer = Promise.withResolvers<void>();
  phonebook.before = (request) => (request === 'claim bob' ? answer.promise : undefined);
  const renewal = own.claimAt(phonebook.link);
  const release = own.release();
  answer.resolve();
  await Promise.all([renewal, release]);
  assert.equal(own.name, null);
  assert.equal(phonebook.given.size, 0);
  assert.equal((await start()).name, null);
});

void test('a link that connects while the name is being claimed does not give it back', async (t) => {
  const { phonebooks, start } = await world(t);
  const [first, second] = phonebooks as [FakePhonebook, FakePhonebook];
  const own = await start();
  const linked = Promise.withResolvers<void>();
  // As at the start of a daemon: the link's turn comes behind the claim, and the other phonebook is slow.
  first.before = () => {
    first.before = () => undefined;
    void own.claimAt(first.link).then(linked.resolve, linked.reject);
  };
  second.before = () => linked.promise;
  await own.claim('bob');
  assert.equal(own.name, 'bob');
  assert.deepEqual([...first.given.keys()], ['bob']);
});

void test('two claims at once end with one name everywhere', async (t) => {
  const { phonebooks, start } = await world(t);
  const own = await start();
  const outcomes = await Promise.allSettled([own.claim('bob'), own.claim('ada')]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(own.name, 'bob');
  for (const { given } of phonebooks) assert.deepEqual([...given.keys()], ['bob']);
});

void test('a clock that was off when a certificate was made does not stop the daemon', async (t) => {
  const { phonebooks, clock, start } = await world(t, 1);
  const [{ link, given }] = phonebooks as [FakePhonebook];
  clock.ms = NOON_MS + 3650 * DAY_MS;
  await (await start()).claim('bob');
  clock.ms = NOON_MS;
  const own = await start();
  assert.equal(own.certificates.length, 0);
  await own.claimAt(link);
  assert.equal(given.get('bob')?.expiresMs, NOON_MS + 30 * DAY_MS);
});

void test('stopping ends a claim that gets no answer', async (t) => {
  const { phonebooks, start, stop } = await world(t, 1);
  const [phonebook] = phonebooks as [FakePhonebook];
  const own = await start({ configured: 'bob' });
  const { claim } = phonebook.link.phonebook;
  phonebook.link.phonebook.claim = async (options, { signal }) => {
    if (!signal.aborted) await once(signal, 'abort');
    signal.throwIfAborted();
    return claim(options, { signal });
  };
  const claiming = own.claimAt(phonebook.link);
  stop.abort();
  await assert.rejects(claiming, { name: 'AbortError' });
});
