import assert from 'node:assert/strict';
import { tincan } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

scenario('two people chat by name, both ways, delivered and read', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  assert.equal(await ada.knows('ben'), ben.peerId);
  assert.equal(await ben.knows('ada'), ada.peerId);

  const first = await ada.send('ben', 'Hello Ben', 'delivered');
  assert.deepEqual(await ben.texts(1), ['Hello Ben']);
  await ben.send('ada', 'Hello Ada', 'delivered');
  assert.deepEqual(await ada.texts(1), ['Hello Ada']);

  const [message] = await ben.inbox();
  assert.deepEqual(
    [message?.id, message?.from, message?.fromName, message?.seq, message?.missing],
    [first, ada.peerId, 'ada', 1, 0],
  );
  const { unread } = await ben.client.call('markRead', { who: 'ada', upTo: first }, { signal });
  assert.equal(unread, 0);
  await ada.reached(first, 'read');

  const { messages } = await ada.client.call('history', { who: 'ben' }, { signal });
  assert.deepEqual(
    messages.map(({ text, from }) => [text, from]),
    [
      ['Hello Ben', ada.peerId],
      ['Hello Ada', ben.peerId],
    ],
  );
});

scenario('without a phonebook, an invite is enough', async (town) => {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada'), town.daemon('ben')]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  const added = await ada.client.call('addContact', { who: invite, petname: 'benny' }, { signal });
  assert.equal(added.peerId, ben.peerId);
  await ada.send('benny', 'no server in sight', 'delivered');
  assert.deepEqual(await ben.texts(1), ['no server in sight']);
  await ben.send(ada.peerId, 'and back', 'delivered');
  assert.deepEqual(await ada.texts(1), ['and back']);
});

scenario('the commands that a person types', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await ada.connected();
  const at = (dataDir: string) => (args: string[], input?: string) =>
    tincan(args, { signal, env: { TINCAN_HOME: dataDir }, ...(input === undefined ? {} : { input }) });
  const [asAda, asBen] = [at(ada.dataDir), at(ben.dataDir)];

  const claimed = await asAda(['name', 'claim', 'ada']);
  assert.deepEqual([claimed.code, claimed.stderr], [0, '']);
  await ada.knows('ben');
  assert.match((await asAda(['peers'])).stdout, /^ben /m);
  const sent = await asAda(['send', 'ben', 'hi', '--wait', 'delivered', '--json']);
  assert.equal(sent.code, 0, sent.stderr);
  const { id, state, to } = JSON.parse(sent.stdout) as { id: string; state: string; to: string };
  assert.deepEqual([state, to], ['delivered', ben.peerId]);
  const line = JSON.parse((await asBen(['inbox', '--unread', '--json'])).stdout) as Record<string, unknown>;
  assert.deepEqual([line['id'], line['fromName'], line['text']], [id, 'ada', 'hi']);
  assert.equal((await asAda(['send', 'ben', '-'], 'two\nlines\n')).code, 0);
  assert.deepEqual(await ben.texts(2), ['hi', 'two\nlines']);
  const chat = await asBen(['chat', 'ada'], 'from a pipe\n/quit\n');
  assert.equal(chat.code, 0, chat.stderr);
  assert.deepEqual(await ada.texts(1), ['from a pipe']);
  assert.equal((await asAda(['name', 'release'])).code, 0);
});
