import assert from 'node:assert/strict';
import { scenario } from '../harness/scenario.ts';
import { metric } from '../harness/metrics.ts';
import type { Town } from '../harness/town.ts';
import type { Daemon } from '../harness/daemon.ts';
import { waitFor } from '../harness/wait-for.ts';

const THREE = ['are you there?', 'I leave you a note', 'call me'];

/** Ada and Ben, who know each other's names and have a mailbox. */
async function friends(town: Town, args: readonly string[] = []) {
  const phonebook = await town.bootstrap({ args });
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  return { phonebook, ada, ben };
}

async function sendAll(daemon: Daemon, to: string, texts: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const text of texts) ids.push(await daemon.send(to, text));
  return ids;
}

scenario(
  'three messages wait for somebody who was killed, in order, and their states come back',
  async (town) => {
    const { ada, ben } = await friends(town);
    await ben.program.kill();
    const ids = await sendAll(ada, 'ben', THREE);
    for (const id of ids) await ada.reached(id, 'stored');
    await ben.program.start();
    assert.deepEqual(await ben.texts(3), THREE);
    for (const id of ids) await ada.reached(id, 'delivered');
    assert.deepEqual(await ben.texts(3), THREE);
  },
);

scenario('the acknowledgement finds a sender who is away, too', async (town) => {
  const { phonebook, ada, ben } = await friends(town);
  await ben.program.kill();
  const ids = await sendAll(ada, 'ben', THREE);
  for (const id of ids) await ada.reached(id, 'stored');
  await ada.program.kill();
  await ben.program.start();
  assert.deepEqual(await ben.texts(3), THREE);
  await waitFor(
    "ben's acknowledgement to lie in ada's mailbox",
    async () => (await metric(phonebook, 'tincan_mailbox_blobs')) >= 1,
    { signal: town.signal },
  );
  // Ben is gone when ada comes back: what she learns, she learns from her mailbox.
  await ben.program.kill();
  await ada.program.start();
  for (const id of ids) await ada.reached(id, 'delivered');
});

scenario('a full share of a mailbox: the rest waits at the sender, says why, and arrives', async (town) => {
  const { signal } = town;
  const { ada, ben } = await friends(town, ['--mailbox-blobs=40', '--mailbox-blobs-per-sender=2']);
  await ben.program.kill();
  const texts = ['one', 'two', 'three', 'four'];
  const ids: string[] = [];
  for (const text of texts) {
    const id = await ada.send('ben', text);
    ids.push(id);
    if (ids.length <= 2) await ada.reached(id, 'stored');
  }
  const { failure } = await ada.client.call(
    'send',
    { to: 'ben', text: 'five', wait: 'stored', timeoutMs: 4000 },
    { signal },
  );
  assert.match(failure ?? '', /full|too many|room/i);
  await ben.program.start();
  assert.deepEqual(await ben.texts(5), [...texts, 'five']);
  for (const id of ids) await ada.reached(id, 'delivered');
});
