import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { peerIdFromString } from '@libp2p/peer-id';
import type { Daemon } from '../harness/daemon.ts';
import { metric } from '../harness/metrics.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

const PASSPHRASE = 'correct horse battery';

/** What must not be found on a disk, by what it is. */
type Secrets = Record<string, readonly (string | Uint8Array)[]>;

/** Which of these stand somewhere in a folder's files, and where. */
function readableIn(folder: string, secrets: Secrets): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  assert.ok(files.length > 0);
  return files.flatMap((file) => {
    const bytes = readFileSync(file);
    return Object.entries(secrets).flatMap(([what, all]) =>
      all.filter((secret) => bytes.includes(secret)).map(() => `${what} in ${relative(folder, file)}`),
    );
  });
}

/** Who somebody is, in every form: the text, its bytes, the key in them, and where they can be reached. */
function tracesOf({ peerId, program }: Daemon): (string | Uint8Array)[] {
  const { publicKey } = peerIdFromString(peerId);
  const addresses = program.ready.multiaddrs.map((address) => address.replace(/\/p2p\/.*$/, ''));
  return [peerId, publicKey!.raw, ...addresses];
}

scenario('nothing that says who or what stands on any disk, wherever it has been', async (town) => {
  const { signal } = town;
  const node = await town.bootstrap();
  const strangers = { bootstrap: [node], friends: false };
  const [ada, ben, cyd] = await Promise.all([
    town.daemon('one', { ...strangers, name: 'wilhelmina', passphrase: PASSPHRASE }),
    // Where there is no passphrase, the key lies beside what it seals.
    town.daemon('two', { ...strangers, name: 'bartholomew' }),
    town.daemon('three', strangers),
  ]);
  await Promise.all([ada.knows('bartholomew'), cyd.knows(ada.peerId)]);
  await ada.client.call('addContact', { who: 'bartholomew', petname: 'old friend' }, { signal });
  await ben.client.call('addContact', { who: ada.peerId, petname: 'her majesty' }, { signal });
  const { invite } = await ben.client.call('invite', {}, { signal });
  const token = new URLSearchParams(invite.slice(invite.indexOf('?'))).get('t')!;
  await cyd.client.call('addContact', { who: invite, petname: 'the host' }, { signal });

  const written = (text: string): string => `the swan flies at midnight, ${text}`;
  const everybody = [ada, ben, cyd];
  const ofPeople = { peer: everybody.flatMap(tracesOf), name: ['wilhelmina', 'bartholomew'] };
  const secrets = {
    message: ['swan', written('')],
    petname: ['old friend', 'her majesty', 'the host'],
    token: [token, Buffer.from(token, 'base64url')],
    passphrase: [PASSPHRASE],
  };
  // The bootstrap node knows who its peers are and where, and publishes names: there, looking finds them.
  assert.notDeepEqual(readableIn(node.dataDir, ofPeople), []);
  const isClean = (when: string): void => {
    assert.deepEqual(readableIn(node.dataDir, secrets), [], `the bootstrap node, ${when}`);
    for (const { dataDir, program } of everybody)
      assert.deepEqual(readableIn(dataDir, { ...secrets, ...ofPeople }), [], `${program.label}, ${when}`);
  };

  for (let number = 0; number < 5; number++) {
    await ada.send('old friend', written(`${number}`), 'delivered');
    await ben.send('her majesty', written(`${number}`), 'delivered');
  }
  await cyd.send(ada.peerId, written('from a stranger'), 'delivered');
  const requests = async () => (await ada.client.call('requests', {}, { signal })).requests;
  await waitFor('her request', async () => (await requests()).length === 1, { signal });
  isClean('after live messages');

  await ben.program.stop();
  for (let number = 0; number < 5; number++)
    await ada.send('old friend', written(`later ${number}`), 'stored');
  await cyd.send('the host', written('by invite'), 'stored');
  isClean('while messages wait in the mailbox');
  await ada.program.kill();
  isClean('after one was killed');

  await ben.program.start();
  await ben.texts(11);
  await waitFor(
    "an acknowledgement in ada's mailbox",
    async () => (await metric(node, 'tincan_mailbox_blobs')) > 0,
    { signal },
  );
  isClean('while an acknowledgement waits in the mailbox');
  await ada.program.start();
  await waitFor(
    'all to be delivered',
    async () => (await ada.client.call('status', {}, { signal })).outbox.messages === 0,
    { signal },
  );
  for (const { program } of [ada, ben, cyd]) await program.stop();
  await node.program.stop();
  isClean('after all were stopped');
});
