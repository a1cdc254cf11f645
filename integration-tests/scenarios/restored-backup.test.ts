import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Daemon } from '../harness/daemon.ts';
import { scenario } from '../harness/scenario.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

/** Ada and Ben, who know each other's names and have a mailbox. */
async function friends(town: Town) {
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  return { ada, ben };
}

/** Copies a data directory while the daemon is down, and starts it again. */
async function backUp({ program, dataDir }: Daemon): Promise<void> {
  await program.stop();
  await cp(dataDir, `${dataDir}.copy`, { recursive: true });
  await program.start();
}

/** Puts the copy back; the daemon stays down. */
async function putBack({ program, dataDir }: Daemon): Promise<void> {
  if (program.running) await program.stop();
  await rm(dataDir, { recursive: true });
  await cp(`${dataDir}.copy`, dataDir, { recursive: true });
}

/** The copy may have the prekey that a session of later was opened to: then it can open all of it. */
function forgetKeys({ dataDir }: Daemon): void {
  const database = new DatabaseSync(join(dataDir, 'daemon.db'));
  database.exec('DELETE FROM own_prekeys; DELETE FROM incoming_sessions');
  database.close();
}

async function restore(daemon: Daemon): Promise<void> {
  await putBack(daemon);
  await daemon.program.start();
}

/** Own messages as the history of a conversation shows them. */
async function own(
  daemon: Daemon,
  other: Daemon,
  signal: AbortSignal,
): Promise<[text: string, state: string][]> {
  const { messages } = await daemon.client.call('history', { who: other.peerId, limit: 100 }, { signal });
  return messages.filter(({ from }) => from === daemon.peerId).map(({ text, state }) => [text, state]);
}

scenario(
  'a sender on an old copy: what it writes arrives, once, and nothing is claimed before',
  async (town) => {
    const { signal } = town;
    const { ada, ben } = await friends(town);
    await ada.send('ben', 'one', 'delivered');
    await backUp(ada);
    await ada.send('ben', 'two', 'delivered');
    await restore(ada);
    await ada.send('ben', 'three', 'delivered');
    assert.deepEqual(await ben.texts(3), ['one', 'two', 'three']);
    await ada.send('ben', 'four', 'delivered');
    assert.deepEqual(await ben.texts(4), ['one', 'two', 'three', 'four']);
    await ben.send('ada', 'all here', 'delivered');
    assert.deepEqual(await own(ada, ben, signal), [
      ['one', 'delivered'],
      ['three', 'delivered'],
      ['four', 'delivered'],
    ]);

    // The same copy once more: again nothing collides.
    await restore(ada);
    await ada.send('ben', 'five', 'delivered');
    assert.deepEqual(await ben.texts(5), ['one', 'two', 'three', 'four', 'five']);
  },
);

scenario('a sender on an old copy whose friend is away: through the mailbox', async (town) => {
  const { signal } = town;
  const { ada, ben } = await friends(town);
  await ada.send('ben', 'one', 'delivered');
  await backUp(ada);
  await ada.send('ben', 'two', 'delivered');
  await ben.program.kill();
  const lost = await ada.send('ben', 'left in the mailbox', 'stored');
  await restore(ada);
  const ids = [await ada.send('ben', 'three', 'stored'), await ada.send('ben', 'four', 'stored')];
  await ben.program.start();
  for (const id of ids) await ada.reached(id, 'delivered');
  const inbox = await ben.inbox();
  assert.deepEqual(inbox.map(({ text }) => text).toSorted(), [
    'four',
    'left in the mailbox',
    'one',
    'three',
    'two',
  ]);
  assert.ok(inbox.some(({ id }) => id === lost));
  assert.deepEqual(await own(ada, ben, signal), [
    ['one', 'delivered'],
    ['three', 'delivered'],
    ['four', 'delivered'],
  ]);
});

scenario('a recipient on an old copy is sent again what it has lost', async (town) => {
  const { signal } = town;
  const { ada, ben } = await friends(town);
  await ada.send('ben', 'one', 'delivered');
  await backUp(ben);
  await ada.send('ben', 'two', 'delivered');
  await ada.send('ben', 'three', 'delivered');
  const mine = await ben.send('ada', 'mine', 'delivered');
  await restore(ben);
  await ada.send('ben', 'four', 'delivered');
  assert.deepEqual((await ben.texts(4)).toSorted(), ['four', 'one', 'three', 'two']);
  await waitFor(
    'the conversation to be whole',
    async () => (await ben.inbox()).every(({ missing }) => missing === 0),
    { signal },
  );
  const { messages } = await ben.client.call('history', { who: ada.peerId, limit: 100 }, { signal });
  assert.deepEqual(
    messages.map(({ text }) => text),
    ['one', 'two', 'three', 'four'],
  );
  assert.deepEqual(
    (await own(ada, ben, signal)).map(([, state]) => state),
    ['delivered', 'delivered', 'delivered', 'delivered'],
  );
  // What it said itself is still with its friend, and what it says next is no second copy of that.
  await ben.send('ada', 'mine again', 'delivered');
  const fromBen = await ada.inbox();
  assert.deepEqual(
    fromBen.map(({ text }) => text),
    ['mine', 'mine again'],
  );
  assert.equal(fromBen[0]!.id, mine);
});

scenario(
  'a recipient on an old copy without its keys, by mailboxes alone: what it can not open is sealed again for it',
  async (town) => {
    const { signal } = town;
    const { ada, ben } = await friends(town);
    await ada.send('ben', 'one', 'delivered');
    await backUp(ben);
    await ben.program.kill();
    const two = await ada.send('ben', 'two', 'stored');
    await ben.program.start();
    await ada.reached(two, 'delivered');
    await ben.program.kill();
    const three = await ada.send('ben', 'three', 'stored');
    await ada.program.kill();
    await putBack(ben);
    forgetKeys(ben);
    await ben.program.start();
    await ben.connected();
    // Ben's daemon passes over the blob, and leaves word of that in Ada's mailbox.
    await waitFor('word of the lost session', async () => /left word for/.test(ben.program.log), { signal });
    await ben.program.kill();
    await ada.program.start();
    await waitFor('the message to be sealed again', async () => /sealed again/.test(ada.program.log), {
      signal,
    });
    await ada.reached(three, 'stored');
    await ada.program.kill();
    await ben.program.start();
    assert.ok((await ben.texts(2)).includes('three'));
    await ada.program.start();
    await ada.reached(three, 'delivered');
    const texts = await ben.texts(3);
    assert.deepEqual(texts.toSorted(), ['one', 'three', 'two']);
  },
);
