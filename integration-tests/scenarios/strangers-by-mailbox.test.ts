import assert from 'node:assert/strict';
import { daemonsByMailbox, leftBy, taken } from '../harness/by-mailbox.ts';
import { lyingMailbox } from '../harness/lying-mailbox.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

scenario(
  'a first message gets through where the mailbox is the only way, also after what said nothing to the other',
  async (town) => {
    const { signal } = town;
    await using box = await lyingMailbox(town);
    const { ada, ben } = await daemonsByMailbox(town, ['ada', 'ben'], [box]);
    const hasStock = (): boolean => (box.stocks.get(ben.peerId)?.oneTime.length ?? 0) > 0;
    await waitFor('ben to have published prekeys', hasStock, { signal });
    // What goes to a contact at once says nothing to who does not know them yet.
    await ada.client.call('addContact', { who: ben.peerId, petname: 'ben' }, { signal });
    await waitFor('something for ben', () => leftBy(box, ada, ben).length > 0, { signal });
    await taken(box, ben, town);
    await ada.send('ben', 'hello', 'stored');
    // Ada is not needed for it any more.
    await ada.program.kill();
    const requests = () => ben.client.call('requests', {}, { signal });
    await waitFor('her request', async () => (await requests()).requests.length === 1, { signal });
    await ben.client.call('accept', { who: ada.peerId, petname: 'ada' }, { signal });
    await ada.program.start();
    const id = await ada.send('ben', 'hello again');
    await ada.reached(id, 'delivered');
    assert.deepEqual(
      (await ben.inbox()).map(({ text }) => text),
      ['hello', 'hello again'],
    );
  },
);
