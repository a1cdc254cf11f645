import assert from 'node:assert/strict';
import type { ControlClient } from '../../protocols/control/client.ts';
import { scenario } from '../harness/scenario.ts';

/** Reads events until this many messages of others have come; returns their texts and where the reader stands. */
async function readMessages(
  client: ControlClient,
  self: string,
  count: number,
  { after, signal, onOpen }: { after?: string; signal: AbortSignal; onOpen?: () => Promise<unknown> },
): Promise<{ texts: string[]; types: string[]; cursor: string }> {
  const texts: string[] = [];
  const types: string[] = [];
  const stream = client.events({ after, signal });
  await stream.opened;
  await onOpen?.();
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === 'message' && event.message.from !== self) texts.push(event.message.text);
    if (texts.length === count) break;
  }
  assert.notEqual(stream.cursor, undefined);
  return { texts, types, cursor: stream.cursor! };
}

scenario('who comes back with a cursor misses nothing and sees nothing twice', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await ada.knows('ben');
  const send = async (...texts: string[]): Promise<void> => {
    for (const text of texts) await ada.send('ben', text, 'delivered');
  };

  const live = await readMessages(ben.client, ben.peerId, 2, {
    signal,
    onOpen: () => send('one', 'two'),
  });
  assert.deepEqual(live.texts, ['one', 'two']);

  await send('three', 'four');
  const again = await readMessages(ben.client, ben.peerId, 2, { after: live.cursor, signal });
  assert.deepEqual(again.texts, ['three', 'four']);
  assert.ok(!again.types.includes('resync'));

  await send('five');
  await ben.program.kill();
  await ben.program.start();
  const restarted = await readMessages(ben.client, ben.peerId, 1, { after: again.cursor, signal });
  assert.deepEqual(restarted.texts, ['five']);
  const then = await readMessages(ben.client, ben.peerId, 1, {
    after: restarted.cursor,
    signal,
    onOpen: () => send('six'),
  });
  assert.deepEqual(then.texts, ['six']);
});

scenario('own messages and their states are events', async (town) => {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada'), town.daemon('ben')]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
  const stream = ada.client.events({ signal });
  await stream.opened;
  const id = await ada.send('ben', 'watch me');
  const seen: string[] = [];
  for await (const event of stream) {
    if (event.type === 'message' && event.message.id === id) seen.push('message');
    if (event.type === 'state' && event.ids.includes(id)) seen.push(event.state);
    if (seen.includes('delivered')) break;
  }
  assert.deepEqual(seen, ['message', 'delivered']);
});

scenario('a cursor of somebody else is refused', async (town) => {
  const { signal } = town;
  const ada = await town.daemon('ada');
  await assert.rejects(ada.client.events({ after: 'no-such-cursor', signal }).opened, {
    name: 'ControlError',
    code: 'invalid',
    field: 'after',
  });
});
