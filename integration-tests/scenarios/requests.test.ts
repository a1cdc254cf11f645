import assert from 'node:assert/strict';
import { encodeFrames } from '../../protocols/framing/frames.ts';
import { chatWith, messageFrame } from '../faults/hostile/attack-chat.ts';
import { addressOf } from '../faults/hostile/attack.ts';
import type { Daemon } from '../harness/daemon.ts';
import { scenario } from '../harness/scenario.ts';
import { stranger } from '../harness/stranger.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

/** Ada and Ben, who have a mailbox, and have never met. */
async function strangers(town: Town) {
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook], friends: false }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook], friends: false }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada'), ada.connected(), ben.connected()]);
  return { phonebook, ada, ben };
}

/** Waits until so many strangers want to write to somebody. */
async function asked(town: Town, daemon: Daemon, count = 1) {
  return waitFor(
    `${count} requests at ${daemon.program.label}`,
    async () => {
      const { requests } = await daemon.client.call('requests', {}, { signal: town.signal });
      return requests.length === count ? requests : undefined;
    },
    { signal: town.signal },
  );
}

/** Waits until somebody is told that another's person has to accept them. */
async function waits(town: Town, daemon: Daemon, to: string): Promise<void> {
  await waitFor(
    `${daemon.program.label} to be told that it waits`,
    async () => {
      const sent = { to, text: 'are you there?', wait: 'delivered', timeoutMs: 0 } as const;
      const { failure } = await daemon.client.call('send', sent, { signal: town.signal });
      return failure?.includes('to accept you');
    },
    { signal: town.signal },
  );
}

scenario(
  'a stranger asks, and what comes behind arrives once and in order when it is accepted',
  async (town) => {
    const { signal } = town;
    const { ada, ben } = await strangers(town);
    const events = ben.client.events({ signal });
    const adas = ada.client.events({ signal });
    await Promise.all([events.opened, adas.opened]);
    const long = await ada.send('ben', 'x'.repeat(1025));
    await ada.reached(long, 'failed');
    assert.match(
      (await ada.client.call('message', { id: long }, { signal })).failure!,
      /introduce yourself in at most 1 KiB/,
    );
    await ada.send('ben', 'it is me', 'delivered');
    const [request] = await asked(town, ben);
    assert.equal(request!.peerId, ada.peerId);
    assert.equal(request!.name, 'ada');
    assert.equal(request!.text, 'it is me');
    assert.match(request!.safetyNumber, /^(\d{5} ){11}\d{5}$/);
    const later = [await ada.send('ben', 'second'), await ada.send('ben', 'third')];
    await waitFor(
      'ada to be told that she waits',
      async () => {
        const { failure } = await ada.client.call(
          'send',
          { to: 'ben', text: 'fourth', wait: 'delivered', timeoutMs: 1000 },
          { signal },
        );
        return failure === 'it waits for ben to accept you: your first message has asked for that';
      },
      { signal, timeoutMs: 1500 },
    );
    for (const id of later) await ada.reached(id, 'queued');
    assert.equal((await ada.client.call('whois', { who: 'ben' }, { signal })).waiting, true);
    const fifth = await ada.client.call('send', { to: 'ben', text: 'fifth' }, { signal });
    assert.match(fifth.failure!, /^it waits for ben to accept you/);
    assert.deepEqual(await ben.inbox(), []);
    const before = await ben.client.call('status', {}, { signal });
    assert.deepEqual([before.unread, before.requests], [0, 1]);

    const contact = await ben.client.call('accept', { who: 'ada', petname: 'Ada L.' }, { signal });
    assert.equal(contact.petname, 'Ada L.');
    assert.deepEqual(await ben.texts(5), ['it is me', 'second', 'third', 'fourth', 'fifth']);
    for (const id of later) await ada.reached(id, 'delivered');
    assert.equal((await ben.client.call('status', {}, { signal })).requests, 0);
    await ben.send('Ada L.', 'welcome', 'delivered');
    assert.deepEqual(await ada.texts(1), ['welcome']);
    const seen: string[] = [];
    for await (const event of events) {
      if (event.type === 'request') seen.push(`${event.change} of ${event.name}`);
      if (event.type === 'message') {
        seen.push(event.message.text);
        if (event.message.text === 'fifth') break;
      }
    }
    const words = ['it is me', 'second', 'third', 'fourth', 'fifth'];
    assert.deepEqual(seen, ['received of ada', 'accepted of ada', ...words]);
    const waited: unknown[] = [];
    for await (const event of adas) {
      if (event.type === 'contact' && event.waiting !== undefined) waited.push([event.peerId, event.waiting]);
      if (event.type === 'message' && event.message.text === 'welcome') break;
    }
    assert.deepEqual(waited, [
      [ben.peerId, true],
      [ben.peerId, false],
    ]);
  },
);

scenario('a stranger asks through the mailbox, and is let in through it', async (town) => {
  const { ada, ben } = await strangers(town);
  await ben.program.kill();
  const first = await ada.send('ben', 'it is me', 'stored');
  await ada.program.kill();
  await ben.program.start();
  await asked(town, ben);
  await ben.connected();
  // What ben has to say waits in ada's mailbox.
  await ben.program.kill();
  await ada.program.start();
  await waitFor(
    'the first message to be delivered, or ben to be back',
    async () => {
      const { state } = await ada.client.call('message', { id: first }, { signal: town.signal });
      return state === 'delivered' || state === 'stored';
    },
    { signal: town.signal },
  );
  await ada.send('ben', 'second');
  await ben.program.start();
  await ada.reached(first, 'delivered');
  await ben.client.call('accept', { who: 'ada' }, { signal: town.signal });
  assert.deepEqual(await ben.texts(2), ['it is me', 'second']);
});

scenario('who is declined, and who is blocked, is not told; a block ends', async (town) => {
  const { signal } = town;
  const { ada, ben } = await strangers(town);
  await ada.send('ben', 'buy this', 'delivered');
  await asked(town, ben);
  await ben.client.call('decline', { who: 'ada' }, { signal });
  await asked(town, ben, 0);
  await waits(town, ada, 'ben');
  await asked(town, ben, 0);
  assert.deepEqual(await ben.inbox(), []);

  await ben.client.call('addContact', { who: 'ada' }, { signal });
  await ada.send('ben', 'thank you', 'delivered');
  const had = (await ben.inbox()).length;
  await ben.client.call('block', { who: 'ada' }, { signal });
  assert.deepEqual(
    (await ben.client.call('blocked', {}, { signal })).blocked.map(({ peerId }) => peerId),
    [ada.peerId],
  );
  await assert.rejects(ben.send('ada', 'hello'), {
    code: 'conflict',
    hint: 'to take it back: tincan unblock ada',
  });
  const unheard = await ada.send('ben', 'do you hear me?');
  // Neither on a stream nor through the mailbox.
  await waitFor(
    'the mailbox to refuse',
    async () => {
      const sent = { to: 'ben', text: 'and now?', wait: 'delivered', timeoutMs: 500 } as const;
      const { failure } = await ada.client.call('send', sent, { signal });
      return failure?.includes('their mailbox does not take it now');
    },
    { signal },
  );
  await ada.reached(unheard, 'queued');
  assert.equal((await ben.inbox()).length, had);
  await ben.client.call('unblock', { who: 'ada' }, { signal });
  await ada.reached(unheard, 'delivered');
});

scenario('who is accepted may leave more in a mailbox than a stranger', async (town) => {
  const { signal } = town;
  const { ada, ben } = await strangers(town);
  await ada.send('ben', 'it is me', 'delivered');
  await asked(town, ben);
  await ben.client.call('accept', { who: 'ada' }, { signal });
  await ada.client.call('addContact', { who: 'ben' }, { signal });
  await waitFor(
    'ada to be let in',
    async () => {
      const { contacts } = await ada.client.call('contacts', {}, { signal });
      return contacts.length === 1 && !contacts[0]!.waiting;
    },
    { signal },
  );
  await ben.program.kill();
  // A stranger has four.
  const texts = Array.from({ length: 6 }, (_, index) => `note ${index}`);
  for (const text of texts) await ada.send('ben', text, 'stored');
  await ben.program.start();
  assert.deepEqual(await ben.texts(7), ['it is me', ...texts]);
});

scenario('twenty ask, the next one when there is room', async (town) => {
  const { signal } = town;
  const { ada, ben } = await strangers(town);
  const [address] = ben.program.ready.multiaddrs;
  for (let number = 0; number < 20; number++) {
    await using somebody = await stranger({ signal, from: addressOf(number) });
    const stream = await chatWith(somebody, address!, { signal });
    stream.send(encodeFrames([messageFrame({ text: `I am ${number}` })]));
    await asked(town, ben, number + 1);
  }
  const id = await ada.send('ben', 'it is me');
  await waits(town, ada, 'ben');
  await ada.reached(id, 'queued');
  const requests = await asked(town, ben, 20);
  await ben.client.call('decline', { who: requests[4]!.peerId }, { signal });
  await ada.program.kill();
  await ada.program.start();
  await ada.reached(id, 'delivered');
  const others = await asked(town, ben, 20);
  assert.equal(others.at(-1)!.text, 'it is me');
});

scenario('an invite lets one in, a reusable one several, a revoked one nobody', async (town) => {
  const { signal } = town;
  const { phonebook, ada, ben } = await strangers(town);
  const cleo = await town.daemon('cleo', { bootstrap: [phonebook], friends: false });
  await cleo.connected();
  const once = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: once.invite, petname: 'Ben' }, { signal });
  await ada.send('Ben', 'I was asked to come', 'delivered');
  await ada.send('Ben', 'so here I am', 'delivered');
  assert.deepEqual(await ben.texts(2), ['I was asked to come', 'so here I am']);
  const { contacts } = await ben.client.call('contacts', {}, { signal });
  assert.deepEqual(
    contacts.map(({ peerId }) => peerId),
    [ada.peerId],
  );

  await cleo.client.call('addContact', { who: once.invite }, { signal });
  await cleo.send(ben.peerId, 'me too', 'delivered');
  const [request] = await asked(town, ben);
  assert.equal(request!.peerId, cleo.peerId);
  await ben.client.call('decline', { who: cleo.peerId }, { signal });

  const party = await ada.client.call('invite', { reusable: true }, { signal });
  await cleo.client.call('addContact', { who: party.invite }, { signal });
  await cleo.send(ada.peerId, 'for the party', 'delivered');
  assert.deepEqual(await ada.texts(1), ['for the party']);
  const { invites } = await ada.client.call('invites', {}, { signal });
  assert.deepEqual(
    invites.map(({ id, uses }) => [id, uses]),
    [[party.id, 1]],
  );
  await ada.client.call('revokeInvite', { id: party.id }, { signal });
  const dora = await town.daemon('dora', { bootstrap: [phonebook], friends: false });
  await dora.connected();
  await dora.client.call('addContact', { who: party.invite }, { signal });
  await dora.send(ada.peerId, 'is it here?', 'delivered');
  await asked(town, ada);
});
