import { loadKinds } from '../episodes/kinds.ts';
import { soak as play } from '../episodes/soak.ts';
import type { Part } from './part.ts';
import { megabytes, seconds } from './part.ts';

const PRINTED_CHARS = 40_000;

export const soak: Part = {
  name: 'soak',
  about: 'one long episode, in which those who are not killed must not grow',
  weight: 20,
  fromMinutes: 10,
  async run({ seed, budgetMs, signal, log }) {
    const options = { seed, durationMs: budgetMs, kinds: await loadKinds(), signal };
    let report = await play({ ...options, network: 'lab' });
    const leftOut = report.leftOut === undefined ? [] : [report.leftOut];
    if (report.leftOut !== undefined) report = await play({ ...options, network: 'proxies' });
    const { violations, logs, messages, faults, restMs, durationMs, held } = report;
    if (logs !== undefined) log(logs.slice(-PRINTED_CHARS));
    return {
      violations,
      leftOut,
      figures: [
        { name: 'length', value: `${(durationMs / 60_000).toFixed(0)} min` },
        { name: 'faults', value: `${faults}` },
        { name: 'messages, each delivered once and in order', value: `${messages}` },
        { name: 'from the end until all is delivered', value: seconds(restMs) },
        ...held.map(({ who, warm, end }) => ({
          name: `memory and handles of ${who === 'bootstrap' ? 'the bootstrap node' : `the daemon of ${who}`}, warmed up and at the end`,
          value: `${megabytes(warm.bytes)}, ${warm.handles} and ${megabytes(end.bytes)}, ${end.handles}`,
          asked: 'within 10%',
        })),
      ],
    };
  },
};
