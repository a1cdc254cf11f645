import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { examineBootstrap } from '../../../bootstrap/doctor.ts';
import { examineDaemon } from '../../../node/doctor.ts';
import { scenario } from '../../harness/scenario.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { ownerOf, PLACES, seenBy, unpack } from './release.ts';
import type { Expected } from './release.ts';

const RELEASES = import.meta.dirname;
const FIXED_CLOCK = new URL('./fixed-clock.ts', import.meta.url);

/** After the stores were made, and before anything in them is over. */
const LATER_MS = 60_000;

const versions = readdirSync(RELEASES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

for (const version of versions) {
  scenario(`the programs go on with the stores of version ${version}`, async (town) => {
    const { folder, signal } = town;
    const dataDirs = Object.fromEntries(
      PLACES.map((place) => [place, join(folder, `of-${place}`)]),
    ) as Record<(typeof PLACES)[number], string>;
    for (const place of PLACES) await unpack(join(RELEASES, version, place), dataDirs[place]);
    const expected = JSON.parse(await readFile(join(RELEASES, version, 'expected.json'), 'utf8')) as Expected;
    const options = { repair: false, startEmpty: false, nowMs: Date.now() };
    const diagnoses = await Promise.all([
      examineBootstrap(dataDirs.bootstrap, options),
      examineDaemon(dataDirs.ada, options, async () => null),
    ]);
    for (const { ok, checks } of diagnoses) assert.ok(ok, JSON.stringify(checks));

    const env = {
      NODE_OPTIONS: `--import=${FIXED_CLOCK.href}`,
      TINCAN_TEST_CLOCK_MS: String(expected.madeAtMs + LATER_MS - Date.now()),
    };
    const node = await town.bootstrap({ env, args: [`--data-dir=${dataDirs.bootstrap}`] });
    const daemon = { env, bootstrap: [node] };
    const ada = await town.daemon('ada', { ...daemon, dataDir: dataDirs.ada });
    assert.deepEqual(await seenBy(ada, 'benny', signal), expected.ada);
    for (const [name, owner] of Object.entries(expected.names))
      assert.equal(await ownerOf(name, node.program.ready.http), owner);

    const ben = await town.daemon('ben', { ...daemon, dataDir: dataDirs.ben });
    await waitFor(
      'what waited in the mailbox',
      async () => (await ben.inbox()).at(-1)?.text === expected.waiting,
      { signal },
    );
    const { messages, ...bens } = await seenBy(ben, 'ada', signal);
    const { messages: before, ...known } = expected.ben;
    assert.deepEqual(messages.slice(0, -1), before);
    // The one that waited is unread, too.
    for (const contact of known.contacts) contact.unread++;
    assert.deepEqual(bens, known);
    const waited = expected.ada.messages.find(({ text }) => text === expected.waiting)!;
    await ada.reached(waited.id, 'delivered');
    await ben.send('ada', 'and on it goes', 'delivered');
  });
}
