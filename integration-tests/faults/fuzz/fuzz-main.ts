import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';

/** What a run by hand gives each decoder; with `--least`, those of what people trust in get as many as they are to have. */
const LONG_INPUTS = 1_000_000;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    inputs: { type: 'string', default: String(LONG_INPUTS) },
    minutes: { type: 'string' },
    only: { type: 'string' },
    least: { type: 'boolean', default: false },
    path: { type: 'string' },
    threads: { type: 'string', default: '2' },
  },
});
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));

const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
console.log(`seed ${seed}`);
const { decoders, seconds } = await fuzz({
  seed,
  inputs: Number(values.inputs),
  minutes: values.minutes === undefined ? undefined : Number(values.minutes),
  only: values.only,
  leastOnly: values.least,
  path: values.path,
  threads: Number(values.threads),
  signal: stop.signal,
  log: console.log,
});
const total = decoders.reduce((sum, { inputs }) => sum + inputs, 0);
console.log(`${decoders.length} decoders, ${total} inputs, ${Math.round(seconds)} s`);
if (decoders.some(({ failure }) => failure !== null)) process.exitCode = 1;
