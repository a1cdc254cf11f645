import { parseArgs } from 'node:util';
import { STEPS } from './check-steps.ts';
import type { Step } from './check-steps.ts';
import type { TestOutcome } from './check-tests.ts';

/**
 * `npm test`: everything that has to hold before a change goes in.
 *
 *   npm test                          all steps
 *   npm test -- --only lint,unit      some of them
 *
 * Ends with a line "N passed, N failed", which counts the tests, and one for each step that is no test. The exit code is 1
 * when anything failed, 2 for wrong usage.
 */
const USAGE = `usage: npm test [-- --only STEP,STEP…]\nsteps:\n${STEPS.map(({ name, about }) => `  ${name.padEnd(12)}${about}`).join('\n')}\n`;

/** Cheap steps that run at the same time: one core each. */
const ABREAST = 2;

/** The steps asked for; undefined when the arguments make no sense. */
function chooseSteps(args: string[]): readonly Step[] | undefined {
  try {
    const { values } = parseArgs({ args, options: { only: { type: 'string', multiple: true } } });
    if (values.only === undefined) return STEPS;
    const names = new Set(values.only.flatMap((list) => list.split(',')));
    const chosen = STEPS.filter(({ name }) => names.delete(name));
    return names.size === 0 ? chosen : undefined;
  } catch {
    return undefined;
  }
}

/** Runs one step and prints how it went. */
async function runStep({ name, about, alone, run }: Step): Promise<TestOutcome> {
  const from = performance.now();
  const outcome = await run().catch((error: unknown): TestOutcome => {
    const report = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { passed: 0, failed: 1, skipped: [], report };
  });
  const seconds = ((performance.now() - from) / 1000).toFixed(1).padStart(6);
  const { passed, failed, skipped, report } = outcome;
  const counts = passed + failed > 1 ? ` (${passed} passed, ${failed} failed)` : '';
  process.stdout.write(`${failed === 0 ? '✔' : '✖'} ${name.padEnd(12)}${seconds} s  ${about}${counts}\n`);
  for (const title of skipped) process.stdout.write(`    skipped: ${title}\n`);
  if (failed > 0) process.stdout.write(`${report.trimEnd()}\n    only this step: ${alone}\n`);
  return outcome;
}

async function runSteps(steps: readonly Step[]): Promise<number> {
  const outcomes: TestOutcome[] = [];
  const cheap = steps.filter((step) => step.cheap === true);
  const rest = steps.filter((step) => step.cheap !== true);
  const take = async (queue: Step[]): Promise<void> => {
    for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
      outcomes.push(await runStep(step));
    }
  };
  await Promise.all(Array.from({ length: ABREAST }, () => take(cheap)));
  await take(rest);

  const sum = (key: 'passed' | 'failed'): number => outcomes.reduce((total, one) => total + one[key], 0);
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
  return sum('failed') === 0 ? 0 : 1;
}

const steps = chooseSteps(process.argv.slice(2));
if (steps === undefined) process.stderr.write(USAGE);
process.exitCode = steps === undefined ? 2 : await runSteps(steps);
