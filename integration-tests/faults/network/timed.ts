import type { TestContext } from 'node:test';

/** How long something takes: told as a figure and not asserted, for how busy the machine is makes much of it. */
export async function timed(t: TestContext, what: string, done: () => Promise<void>): Promise<void> {
  const from = performance.now();
  await done();
  t.diagnostic(`${what}: ${Math.round(performance.now() - from)} ms`);
}
