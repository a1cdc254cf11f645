import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { scenario } from '../../harness/scenario.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Town } from '../../harness/town.ts';
import { openLab } from './lab.ts';
import type { Lab } from './lab.ts';
import { timed } from './timed.ts';

interface Hosts {
  lab: Lab;
  daemons: Daemon[];
}

/** Daemons by these names that know each other, each on a host of its own as their bootstrap node is; undefined where that can't be. */
async function hosts(
  { bootstrap, daemon, signal }: Town,
  t: TestContext,
  { names, stack }: { names: readonly string[]; stack: AsyncDisposableStack },
): Promise<Hosts | undefined> {
  const lab = await openLab({ signal });
  if ('missing' in lab) {
    t.skip(`left out: ${lab.missing}`);
    return undefined;
  }
  stack.use(lab);
  const node = await bootstrap({ place: await lab.place('bootstrap') });
  const daemons = await Promise.all(
    names.map(async (name) => daemon(name, { name, bootstrap: [node], place: await lab.place(name) })),
  );
  await Promise.all(daemons.flatMap((one) => names.map((name) => one.knows(name))));
  return { lab, daemons };
}

/** One writes to the other and is answered at the same time; both are told that it was delivered. */
async function exchange(one: Daemon, other: Daemon, text: string): Promise<void> {
  const say = async (from: Daemon, to: Daemon): Promise<void> => {
    const id = await from.send(to.peerId, text);
    await from.reached(id, 'delivered');
  };
  await Promise.all([say(one, other), say(other, one)]);
}

scenario(
  'who is cut off, one way or both, goes on by mailbox, and live at once when it is over',
  async (town, t) => {
    await using stack = new AsyncDisposableStack();
    const open = await hosts(town, t, { names: ['ada', 'ben', 'cyd'], stack });
    if (open === undefined) return;
    const { lab } = open;
    const [ada, ben, cyd] = open.daemons as [Daemon, Daemon, Daemon];
    await Promise.all([exchange(ada, ben, 'before'), exchange(cyd, ben, 'before')]);
    await lab.partition('ada', 'ben');
    await lab.partition('cyd', 'ben', { oneWay: true });
    await Promise.all([
      timed(t, 'cut off both ways, until delivered by mailbox', () => exchange(ada, ben, 'meanwhile')),
      timed(t, 'cut off one way, until delivered by mailbox', () => exchange(cyd, ben, 'meanwhile')),
    ]);
    await lab.heal();
    await Promise.all([
      timed(t, 'both ways, from healing until delivered', () => exchange(ada, ben, 'after')),
      timed(t, 'one way, from healing until delivered', () => exchange(cyd, ben, 'after')),
    ]);
    for (const one of [ada, cyd]) assert.deepEqual(await one.texts(3), ['before', 'meanwhile', 'after']);
    assert.equal((await ben.texts(6)).length, 6);

    const before = (await ben.inbox()).length;
    await lab.weather('ben', { lost: 0.05, doubled: 0.05 });
    const texts = Array.from({ length: 50 }, (_, index) => `${index} ${'x'.repeat(2_000)}`);
    await timed(t, 'fifty messages of 2 kB while 5% are lost and 5% doubled, each way', async () => {
      let id = '';
      for (const text of texts) id = await ada.send('ben', text);
      await ada.reached(id, 'delivered');
    });
    assert.deepEqual((await ben.texts(before + texts.length)).slice(before), texts);
  },
);
