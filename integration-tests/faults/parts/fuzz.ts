import { leastInputs } from '../fuzz/fuzz-subjects.ts';
import { fuzz as play } from '../fuzz/fuzz.ts';
import type { Part } from './part.ts';

/** Asked for of each decoder, in a run that is long enough for it. */
const INPUTS = 1_000_000;

export const fuzz: Part = {
  name: 'fuzz',
  about: 'every decoder of bytes from outside is given damaged input',
  weight: 4,
  fromMinutes: 5,
  async run({ seed, budgetMs, signal, log }) {
    const { decoders } = await play({ seed, inputs: INPUTS, minutes: budgetMs / 60_000, signal, log });
    const least = (await leastInputs()).filter(({ least }) => least > 0);
    const given = least.map(({ name, least }) => ({
      least,
      inputs: decoders.find(({ decoder }) => decoder === name)!.inputs,
    }));
    const counts = decoders.map(({ inputs }) => inputs).sort((a, b) => a - b);
    return {
      violations: decoders
        .filter(({ failure }) => failure !== null)
        .map(({ decoder, failure }) => `${decoder}: ${failure!.why}`),
      figures: [
        { name: 'decoders', value: `${decoders.length}` },
        {
          name: 'inputs in all; of the decoder that got the fewest',
          value: `${counts.reduce((sum, count) => sum + count, 0).toLocaleString('en')}; ${counts[0]!.toLocaleString('en')}`,
          asked: `${INPUTS.toLocaleString('en')} each, in a long run`,
        },
        {
          name: 'decoders of what people trust in; inputs of the one that got the fewest',
          value: `${given.length}; ${Math.min(...given.map(({ inputs }) => inputs)).toLocaleString('en')}`,
          asked: `${Math.max(...given.map(({ least }) => least)).toLocaleString('en')} each: npm run test:fuzz -- --least`,
        },
      ],
    };
  },
};
