import assert from 'node:assert/strict';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SEAL_BYTES } from '../../node/at-rest/row-sealer.ts';
import { examineDaemon } from '../../node/doctor.ts';
import { tincan } from '../harness/command.ts';
import type { CommandResult } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { randomFrom } from '../harness/random.ts';
import { scenario } from '../harness/scenario.ts';
import { sealedMessages } from '../harness/sealed-store.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

const PAGE_BYTES = 4096;
const TABLE_LEAF = 13;

/** What each writes to the other: enough for a dozen pages of messages. */
const COUNT = 60;

const textOf = (who: string, index: number): string => `${who} ${index} ${'and so on '.repeat(20)}`;

/** Ada and Ben, who have written to each other. */
async function friends(town: Town): Promise<{ ada: Daemon; ben: Daemon }> {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada'), town.daemon('ben')]);
  for (const [one, other, petname] of [
    [ada, ben, 'ben'],
    [ben, ada, 'ada'],
  ] as const) {
    const { invite } = await other.client.call('invite', {}, { signal });
    await one.client.call('addContact', { who: invite, petname }, { signal });
  }
  // At the same time, so that there are pages with messages of both.
  await Promise.all(
    Array.from({ length: COUNT }, (_, index) => [
      ada.send('ben', textOf('ada', index), 'delivered'),
      ben.send('ada', textOf('ben', index), 'delivered'),
    ]).flat(),
  );
  await Promise.all([ada.texts(COUNT), ben.texts(COUNT)]);
  return { ada, ben };
}

function doctor(daemon: Daemon, signal: AbortSignal, ...flags: string[]): Promise<CommandResult> {
  return tincan(['doctor', `--data-dir=${daemon.dataDir}`, ...flags], { signal });
}

/** What the command prints, without a process for it. */
async function look(
  { dataDir }: Daemon,
  repair = false,
  startEmpty = false,
): Promise<{ ok: boolean; text: string }> {
  const diagnosis = await examineDaemon(dataDir, { repair, startEmpty, nowMs: Date.now() }, async () => null);
  return { ok: diagnosis.ok, text: JSON.stringify(diagnosis.checks) };
}

const storeOf = ({ dataDir }: Daemon): string => join(dataDir, 'daemon.db');

/** Overwrites pages of messages, as `choose` picks them by what stands in them. */
async function damage(
  daemon: Daemon,
  choose: (pages: Map<number, string[]>) => Iterable<number>,
  spoil: (page: Buffer) => void = (page) => page.fill(0xa5),
): Promise<void> {
  const bytes = await readFile(storeOf(daemon));
  const messages = sealedMessages(daemon.dataDir);
  const pages = new Map<number, string[]>();
  for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES) {
    const page = bytes.subarray(at, at + PAGE_BYTES);
    if (page[0] !== TABLE_LEAF) continue;
    const texts = messages
      .filter(({ sealed }) => page.includes(sealed.subarray(0, SEAL_BYTES)))
      .map(({ text }) => text);
    if (texts.length > 0) pages.set(at, texts);
  }
  assert.ok(pages.size > 6, `only ${pages.size} pages of messages`);
  for (const at of choose(pages)) spoil(bytes.subarray(at, at + PAGE_BYTES));
  await writeFile(storeOf(daemon), bytes);
}

/** Everything of the other, each once. */
async function hasAll(daemon: Daemon, other: string, extra: readonly string[] = []): Promise<void> {
  const expected = [...Array.from({ length: COUNT }, (_, index) => textOf(other, index)), ...extra];
  const texts = await daemon.texts(expected.length);
  assert.deepEqual(texts.toSorted(), expected.toSorted());
}

scenario(
  'damaged pages: the rest is readable, a repair saves it, and friends send what they have',
  async (town) => {
    const { signal } = town;
    const random = randomFrom(7);
    const { ada, ben } = await friends(town);
    await ada.program.stop();
    await damage(ada, (pages) => {
      // Three in a row that have messages of both: how the two mix is up to the moment.
      const all = [...pages.keys()];
      const rows = all.slice(1, -3).map((_, first) => all.slice(1 + first, 4 + first));
      const both = rows.filter((row) =>
        ['ada', 'ben'].every((who) => row.some((at) => pages.get(at)!.some((text) => text.startsWith(who)))),
      );
      return both[Math.floor(random() * both.length)]!;
    });
    await ada.program.start();
    const { messages } = await ada.client.call('history', { who: 'ben', limit: 1000 }, { signal });
    assert.ok(messages.length > COUNT && messages.length < 2 * COUNT, `${messages.length} of the messages`);
    assert.ok((await ada.inbox()).length < COUNT);
    for (let again = 0; again < 3; again++) {
      await ada.client.call('history', { who: 'ben', limit: 1000 }, { signal });
      const { warnings } = await ada.client.call('status', {}, { signal });
      assert.equal(warnings.filter((text) => /damaged.*tincan doctor --repair/.test(text)).length, 1);
    }
    assert.equal(ada.program.log.match(/part of the store is damaged/g)?.length, 1);
    const lost = (await ben.inbox()).find(({ id }) => !messages.some((message) => message.id === id))!;
    await assert.rejects(ada.client.call('message', { id: lost.id }, { signal }), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'damaged');
      assert.match((error as { hint?: string }).hint!, /tincan doctor --repair/);
      return true;
    });
    // What is whole goes on, both ways.
    await ada.send('ben', 'while damaged', 'delivered');
    await ben.send('ada', 'to the damaged one', 'delivered');

    const running = await look(ada);
    assert.equal(running.ok, false);
    assert.match(running.text, /another process has .*daemon\.db open/);
    await ada.program.stop();
    const found = await doctor(ada, signal);
    assert.equal(found.code, 1, found.stderr);
    assert.match(found.stdout, /✖ database +.*daemon\.db is damaged/);
    assert.match(found.stdout, /\d+ messages of your conversation with ben can't be read/);
    const repaired = await doctor(ada, signal, '--repair');
    assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr);
    assert.match(
      repaired.stdout,
      /conversation with ben.*\d+ of yours.*\d+ of theirs, which their node is asked for again/,
    );
    assert.ok((await readdir(ada.dataDir)).some((name) => name.startsWith('daemon.db.damaged-')));
    const well = await look(ada);
    assert.ok(well.ok, well.text);

    await ada.program.start();
    await ada.send('ben', 'after the repair', 'delivered');
    await ben.send('ada', 'good to hear', 'delivered');
    await hasAll(ada, 'ben', ['to the damaged one', 'good to hear']);
    await hasAll(ben, 'ada', ['while damaged', 'after the repair']);
    const after = await ada.client.call('history', { who: 'ben', limit: 1000 }, { signal });
    assert.equal(new Set(after.messages.map(({ id }) => id)).size, after.messages.length);
    assert.ok(after.messages.every(({ missing }) => missing === 0));
    assert.deepEqual((await ada.client.call('status', {}, { signal })).warnings, []);

    // A bit that turns over in the middle of words: SQLite sees nothing in that, the seal does.
    await ada.program.stop();
    const { sealed } = sealedMessages(ada.dataDir).find(({ text }) => text === textOf('ben', 30))!;
    await damage(
      ada,
      (pages) => pages.keys(),
      (page) => {
        const at = page.indexOf(sealed.subarray(0, SEAL_BYTES));
        if (at !== -1) page[at + SEAL_BYTES]! ^= 1;
      },
    );
    const flipped = await look(ada, true);
    assert.match(flipped.text, /1 message of your conversation with ben.*1 of theirs/);
    await ada.program.start();
    await ben.send('ada', 'and on', 'delivered');
    await hasAll(ada, 'ben', ['to the damaged one', 'good to hear', 'and on']);
  },
);

scenario('a log that is cut off anywhere, and files that are none', async (town) => {
  const { signal } = town;
  const random = randomFrom(11);
  const { ada, ben } = await friends(town);
  await ada.program.kill();
  const log = `${storeOf(ada)}-wal`;
  const { size } = await stat(log);
  await truncate(log, Math.floor(size * (0.5 + random() * 0.45)));
  const cut = await look(ada);
  assert.ok(cut.ok, cut.text);
  await ada.program.start();
  // Ada's store is an older one now; her friend tells what it knows.
  await ada.send('ben', 'back again', 'delivered');
  await ben.send('ada', 'so you are', 'delivered');
  // Where she has lost all of a chain, she learns of it with its next message, and asks for it when they greet again.
  await ada.program.stop();
  await ada.program.start();
  await hasAll(ada, 'ben', ['so you are']);
  await waitFor(
    'the conversation to be whole',
    async () => (await ben.inbox()).some(({ text }) => text === 'back again'),
    {
      signal,
    },
  );
  const own = (await ben.inbox()).map(({ text }) => text);
  assert.equal(new Set(own).size, own.length);

  await ada.program.stop();
  const whole = await readFile(storeOf(ada));
  for (const [bytes, said] of [
    [Buffer.alloc(0), /daemon\.db is damaged \(the file is empty\)/],
    [Buffer.alloc(whole.byteLength), /daemon\.db is damaged \(file is not a database\)/],
    [whole.subarray(0, whole.byteLength / 2), /daemon\.db is damaged \(database disk image is malformed\)/],
  ] as const) {
    await writeFile(storeOf(ada), bytes);
    const { code, stderr } = await tincan(
      ['daemon', `--data-dir=${ada.dataDir}`, '--listen=/ip4/127.0.0.1/tcp/0'],
      { signal },
    );
    assert.equal(code, 1, stderr);
    assert.match(stderr, said);
    assert.match(stderr, /tincan doctor --repair --data-dir /);
  }
  // Of half a file, half is saved.
  const half = await look(ada, true);
  assert.ok(half.ok, half.text);
  assert.match(half.text, /conversation with ben/);

  await writeFile(storeOf(ada), Buffer.alloc(whole.byteLength));
  const nothing = await doctor(ada, signal, '--repair');
  assert.equal(nothing.code, 1);
  assert.match(nothing.stdout, /nothing of it can be read.*--start-empty/s);
  assert.deepEqual(await readFile(storeOf(ada)), Buffer.alloc(whole.byteLength));
  assert.ok((await look(ada, true, true)).ok);
  await ada.program.start();
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
  await ada.send('ben', 'from an empty store', 'delivered');
});

/** The offset of a page that a row goes on in which needs three more. What is in it is sealed, and says nothing. */
function longRowPage(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Such a page begins with the number of the next; those of trees begin with their kind.
  const next = (number: number): number => view.getUint32((number - 1) * PAGE_BYTES);
  const pages = bytes.byteLength / PAGE_BYTES;
  const isIn = (number: number): boolean => number > 1 && number <= pages;
  const zeroes = Buffer.alloc(64);
  for (let number = 2; number <= pages; number++) {
    const at = (number - 1) * PAGE_BYTES;
    const isFull = !Buffer.from(bytes.subarray(at, at + PAGE_BYTES)).includes(zeroes);
    if (isFull && isIn(next(number)) && isIn(next(next(number)))) return at;
  }
  throw new Error('no row is so long');
}

scenario(
  "a bootstrap node with a damaged mailbox: the others' go on, and it says that it is not well",
  async (town) => {
    const { signal } = town;
    const node = await town.bootstrap();
    const options = { bootstrap: [node] };
    const [ada, ben, cy] = await Promise.all([
      town.daemon('ada', { ...options, name: 'ada' }),
      town.daemon('ben', { ...options, name: 'ben' }),
      town.daemon('cy', { ...options, name: 'cy' }),
    ]);
    await Promise.all([ada.knows('ben'), ada.knows('cy')]);
    await Promise.all([ben.program.stop(), cy.program.stop()]);
    // As many as fit also where Ben had no time to hand out the right to deposit before he went.
    const texts = [1, 2].map((index) => `blob ${index} `.repeat(1500));
    for (const text of texts) await ada.send('ben', text, 'stored');
    await ada.send('cy', 'for cy', 'stored');
    await ada.program.stop();
    await node.program.stop();
    const file = join(node.dataDir, 'bootstrap.db');
    const bytes = await readFile(file);
    // One that a message for Ben goes on in: only his are so long that they take several.
    const page = longRowPage(bytes);
    bytes.fill(0xa5, page, page + PAGE_BYTES);
    await writeFile(file, bytes);

    const ready = async (): Promise<[number, string]> => {
      const answer = await fetch(`${node.program.ready.http}/ready`);
      return [answer.status, await answer.text()];
    };
    await node.program.start();
    assert.equal((await ready())[0], 200);
    await ben.program.start();
    await waitFor('the node to have noticed', async () => (await ready())[0] === 503, { signal });
    assert.match((await ready())[1], /damaged.*tincan doctor --repair/);
    await cy.program.start();
    assert.deepEqual(await cy.texts(1), ['for cy']);
    assert.equal(node.program.log.match(/"msg":"part of the store is damaged/g)?.length, 1);

    await node.program.stop();
    const repaired = await tincan(['doctor', '--repair', `--data-dir=${node.dataDir}`], { signal });
    assert.equal(repaired.code, 0, repaired.stdout);
    assert.match(repaired.stdout, /\d waiting messages? can't be read: their senders still have/);
    await node.program.start();
    assert.equal((await ready())[0], 200);
    await ben.texts(1);
    await ada.program.start();
    assert.deepEqual((await ben.texts(texts.length)).toSorted(), texts);
  },
);
