import assert from 'node:assert/strict';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

scenario('with the phonebook stopped, people who talk go on talking', async (town) => {
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await ada.knows('ben');
  await ada.send('ben', 'before', 'delivered');
  const { code } = await phonebook.program.stop();
  assert.equal(code, 0);
  await ada.send('ben', 'during', 'delivered');
  assert.deepEqual(await ben.texts(2), ['before', 'during']);
  await phonebook.program.start();
  await Promise.all([ada.connected(), ben.connected()]);
  await ada.send('ben', 'after', 'delivered');
  assert.deepEqual(await ben.texts(3), ['before', 'during', 'after']);
});

scenario("with the bootstrap node dead, names and peer ids are found in the others' DHT", async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const people = ['ada', 'ben', 'cleo', 'dora', 'emil'];
  const daemons = await Promise.all(
    people.map((name) =>
      town.daemon(name, { name, bootstrap: [phonebook], args: ['--dht=server'], friends: false }),
    ),
  );
  const [ada, ben, , , emil] = daemons;
  await waitFor(
    'everybody to know everybody else in the DHT',
    async () => {
      const views = await Promise.all(daemons.map(({ client }) => client.call('status', {}, { signal })));
      return views.every(({ name, dht }) => name !== null && dht.peers >= people.length - 1);
    },
    { signal },
  );
  await phonebook.program.kill();

  // Ada never met ben or emil, and has no phonebook to ask.
  const found = await waitFor(
    "ben's name in the DHT",
    () => ada!.client.call('whois', { who: 'ben' }, { signal }),
    { signal },
  );
  assert.equal(found.peerId, ben!.peerId);
  assert.equal(found.source, 'dht');
  assert.equal(found.certificate?.phonebook, phonebook.program.ready.peerId);
  assert.ok(Date.parse(found.certificate.expiresAt) > Date.now());
  await ada!.send('ben', 'found you', 'delivered');

  const byId = await waitFor(
    "emil's addresses in the DHT",
    async () => {
      const answer = await ada!.client.call('whois', { who: emil!.peerId }, { signal });
      return answer.multiaddrs.length > 0 && answer;
    },
    { signal },
  );
  assert.equal(byId.peerId, emil!.peerId);
  await ada!.send(emil!.peerId, 'and you', 'delivered');
  await waitFor(
    'what a stranger writes to be asked for',
    async () => (await emil!.client.call('requests', {}, { signal })).requests[0]?.text === 'and you',
    { signal },
  );
});

scenario('one of several bootstrap nodes is down: it is skipped, and status says so', async (town) => {
  const { signal } = town;
  const [first, second] = await Promise.all([town.bootstrap(), town.bootstrap()]);
  await first.program.kill();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [first, second] }),
    town.daemon('ben', { name: 'ben', bootstrap: [second, first] }),
  ]);
  assert.equal(await ada.knows('ben'), ben.peerId);
  await ada.send('ben', 'by the other one', 'delivered');
  const [down, up] = await waitFor(
    'the first bootstrap node to be down',
    async () => {
      const { bootstrap } = await ada.client.call('status', {}, { signal });
      return bootstrap[0]?.state === 'down' && bootstrap;
    },
    { signal },
  );
  assert.notEqual(down?.detail, null);
  assert.equal(up?.state, 'connected');
  await first.program.start();
  await ada.connected(0);
});
