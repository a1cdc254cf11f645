import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { openTown } from './town.ts';
import type { Town } from './town.ts';

/** No scenario takes this long on two busy cores; one that hangs ends with the logs of its programs. */
const SCENARIO_MS = 90_000;

/** Logs printed of a scenario that failed: enough for the story, without drowning the others. */
const PRINTED_CHARS = 30_000;

/**
 * A test that plays real programs against each other. Whatever becomes of it, they are killed and their data removed;
 * when it fails, what they logged is printed.
 */
export function scenario(
  title: string,
  play: (town: Town, t: TestContext) => Promise<void>,
  { skip = false }: { skip?: string | false } = {},
): void {
  void test(title, { skip }, async (t) => {
    const signal = AbortSignal.any([t.signal, AbortSignal.timeout(SCENARIO_MS)]);
    await using town = await openTown({ signal });
    try {
      await play(town, t);
    } catch (error) {
      process.stderr.write(
        `\n##### ${title}: what the programs said\n${town.logs().slice(-PRINTED_CHARS)}\n`,
      );
      throw error;
    }
  });
}
