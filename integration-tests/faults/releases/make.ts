import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import packageJson from '../../../package.json' with { type: 'json' };
import { openTown } from '../../harness/town.ts';
import { ownerOf, pack, seenBy } from './release.ts';
import type { Expected } from './release.ts';

/** The whole takes a few seconds. */
const MAKE_MS = 120_000;

/** Makes the stores of this version, with what a first week leaves in them, and writes down what the programs say. */
export async function makeRelease(folder: string): Promise<void> {
  const signal = AbortSignal.timeout(MAKE_MS);
  await using town = await openTown({ signal });
  const node = await town.bootstrap();
  const options = { bootstrap: [node] };
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { ...options, name: 'ada' }),
    town.daemon('ben', { ...options, name: 'ben' }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  await ada.client.call('addContact', { who: 'ben', petname: 'benny' }, { signal });
  await ben.client.call('addContact', { who: 'ada' }, { signal });
  await ada.send('benny', 'Hello, Ben!', 'delivered');
  await ben.send('ada', 'Hello, Ada. Is this thing on? 🥫', 'delivered');
  for (let index = 1; index <= 5; index++) await ada.send('benny', `number ${index}`, 'delivered');
  await ben.send('ada', 'not read yet', 'delivered');
  const seen = (await ada.inbox())[0]!;
  await ada.client.call('markRead', { who: 'benny', upTo: seen.id }, { signal });
  await ben.reached(seen.id, 'read');
  const bens = await seenBy(ben, 'ada', signal);
  await ben.program.stop();
  const waiting = 'waiting in the mailbox';
  await ada.send('benny', waiting, 'stored');
  const expected: Expected = {
    madeAtMs: Date.now(),
    ada: await seenBy(ada, 'benny', signal),
    ben: bens,
    names: {
      ada: await ownerOf('ada', node.program.ready.http),
      ben: await ownerOf('ben', node.program.ready.http),
    },
    waiting,
  };
  await ada.program.stop();
  await node.program.stop();
  await rm(folder, { recursive: true, force: true });
  for (const [place, dataDir] of [
    ['bootstrap', node.dataDir],
    ['ada', ada.dataDir],
    ['ben', ben.dataDir],
  ] as const)
    await pack(dataDir, join(folder, place));
  await writeFile(join(folder, 'expected.json'), `${JSON.stringify(expected, undefined, 2)}\n`);
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, packageJson.version);
  await makeRelease(folder);
  process.stdout.write(`${folder} has the stores of version ${packageJson.version}\n`);
}
