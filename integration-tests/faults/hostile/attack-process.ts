import { randomFrom } from '../../harness/random.ts';
import { allAttacks } from './attack-list.ts';
import type { AttackTarget } from './attack.ts';

/* Plays attacks, all at once: the harness starts it, with the order as its argument, and ends it. */

/** What the process is started with. */
export interface AttackOrder {
  names: readonly string[];
  target: AttackTarget;
  seed: number;
}

/** What it tells the harness. */
export type AttackNews = { begun: true } | { counts: Record<string, number> };

const order = JSON.parse(process.argv[2]!) as AttackOrder;
const attacks = (await allAttacks()).filter(({ name }) => order.names.includes(name));
const stop = new AbortController();
const counts: Record<string, number> = {};
const tell = (news: AttackNews): void => void process.send?.(news);

process.on('message', () => stop.abort(new Error('the attack is over')));
process.on('disconnect', () => process.exit());
// Streams and connections that the target cuts come up in places that nobody waits at.
process.on('uncaughtException', (error: Error) => {
  const name = `thrown: ${error.name}`;
  counts[name] = (counts[name] ?? 0) + 1;
});
process.on('unhandledRejection', () => undefined);
tell({ begun: true });
const count = (what: string, times = 1): void => {
  counts[what] = (counts[what] ?? 0) + times;
};
await Promise.all(
  attacks.map(async ({ name, run }, index) => {
    const random = randomFrom(order.seed + index);
    await run(order.target, { signal: stop.signal, random, count }).catch((error: unknown) => {
      if (!stop.signal.aborted) count(`${name} ended: ${(error as Error).message}`);
    });
  }),
);
tell({ counts });
// Connections may be left: the harness ends them with the process.
