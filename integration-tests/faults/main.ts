import { parseArgs } from 'node:util';
import { playEpisode } from './episodes/episode.ts';
import { line } from './episodes/episodes.ts';
import { loadKinds } from './episodes/kinds.ts';
import type { FigureRow, Part, PartOptions, PartReport } from './parts/part.ts';
import { seconds } from './parts/part.ts';
import { PARTS } from './parts.ts';
import { writeFigures } from './reliability.ts';
import { randomFrom } from '../harness/random.ts';
import type { Schedule } from './episodes/schedule.ts';
import { drawSeed } from './episodes/schedule.ts';

/**
 * `npm run test:faults`: real programs under faults, and what was promised held against what was shown.
 *
 *   npm run test:faults -- --minutes 10               a fresh seed, which is printed
 *   npm run test:faults -- --minutes 10 --seed 7      the same faults again
 *   npm run test:faults -- --only hostile,fuzz        some parts of it
 *   npm run test:faults -- --schedule '{…}'           one episode, as a failure printed it
 *   npm run test:faults -- --minutes 60 --figures     its figures into docs/reliability.md
 *
 * The exit code is 1 when a promise was broken, 2 for wrong usage.
 */
const USAGE = `usage: npm run test:faults -- [--minutes M] [--seed N] [--only PART,PART…] [--figures]
       npm run test:faults -- --schedule JSON
parts:
${PARTS.map(({ name, about }) => `  ${name.padEnd(15)}${about}`).join('\n')}
`;

const DEFAULT_MINUTES = 5;

interface Arguments {
  minutes: number;
  seed: number;
  parts: readonly Part[];
  figures: boolean;
  schedule: Schedule | undefined;
}

/** @throws Error for arguments that make no sense */
function readArguments(args: string[]): Arguments {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: String(DEFAULT_MINUTES) },
      seed: { type: 'string', default: String(drawSeed(Math.random)) },
      only: { type: 'string' },
      figures: { type: 'boolean', default: false },
      schedule: { type: 'string' },
    },
  });
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  if (!(minutes > 0)) throw new Error(`--minutes has to be a number above 0, not ${values.minutes}`);
  if (!Number.isSafeInteger(seed)) throw new Error(`--seed has to be a whole number, not ${values.seed}`);
  const names = values.only?.split(',');
  for (const name of names ?? []) {
    if (!PARTS.some((part) => part.name === name)) throw new Error(`there is no part ${name}`);
  }
  return {
    minutes,
    seed,
    parts: PARTS.filter(({ name, fromMinutes }) => names?.includes(name) ?? fromMinutes <= minutes),
    figures: values.figures,
    schedule: values.schedule === undefined ? undefined : (JSON.parse(values.schedule) as Schedule),
  };
}

const log = (text: string): void => void process.stdout.write(`${text}\n`);

/** Plays one episode. */
async function playAgain(schedule: Schedule, signal: AbortSignal): Promise<number> {
  const result = await playEpisode(schedule, { kinds: await loadKinds(), signal });
  if (result.leftOut !== undefined) log(`left out: ${result.leftOut}`);
  else log(line(schedule, result));
  if (result.logs !== undefined) log(result.logs);
  for (const violation of result.violations) log(violation);
  return result.violations.length === 0 ? 0 : 1;
}

async function run({ minutes, seed, parts, figures }: Arguments, signal: AbortSignal): Promise<number> {
  log(`seed ${seed}, ${minutes} min: ${parts.map(({ name }) => name).join(', ')}`);
  const random = randomFrom(seed);
  // Drawn for all, so that a part gets the same seed whether the others run or not.
  const seeds = new Map(PARTS.map(({ name }) => [name, drawSeed(random)]));
  const weights = parts.reduce((sum, { weight }) => sum + weight, 0);
  const rows: [string, readonly FigureRow[]][] = [];
  const broken: string[] = [];
  let leftMs = minutes * 60_000;
  let leftWeight = weights;
  for (const part of parts) {
    const from = performance.now();
    log(`\n${part.name}: ${part.about}`);
    const options: PartOptions = {
      seed: seeds.get(part.name)!,
      // What one part leaves over goes to those behind it.
      budgetMs: Math.max(0, (leftMs * part.weight) / leftWeight),
      signal,
      log: (text) => log(`  ${text}`),
    };
    const report = await part.run(options).catch((error: unknown): PartReport => {
      signal.throwIfAborted();
      return {
        violations: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
        figures: [],
      };
    });
    const tookMs = performance.now() - from;
    leftMs -= tookMs;
    leftWeight -= part.weight;
    for (const { name, value, asked } of report.figures)
      log(`  ${name}: ${value}${asked === undefined ? '' : ` (${asked})`}`);
    for (const reason of report.leftOut ?? []) log(`  left out: ${reason}`);
    for (const violation of report.violations) log(`  ✖ ${violation}`);
    log(`${report.violations.length === 0 ? '✔' : '✖'} ${part.name} ${seconds(tookMs)}`);
    rows.push([part.name, report.figures]);
    if (report.violations.length > 0) broken.push(part.name);
  }
  if (figures) await writeFigures(rows, { seed, minutes });
  if (broken.length === 0) {
    log(`\nevery promise was kept; seed ${seed}`);
    return 0;
  }
  log(
    `\nbroken in ${broken.join(', ')}; again with: npm run test:faults -- --seed ${seed} --minutes ${minutes} --only ${broken.join(',')}`,
  );
  return 1;
}

let parsed: Arguments | undefined;
try {
  parsed = readArguments(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (parsed !== undefined) {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
  }
  process.exitCode =
    parsed.schedule === undefined
      ? await run(parsed, stop.signal)
      : await playAgain(parsed.schedule, stop.signal);
}
