import { hostile as play } from '../hostile/hostile.ts';
import { hostileTable } from '../hostile/hostile-report.ts';
import type { Part } from './part.ts';
import { megabytes } from './part.ts';

/** As asked for: an honest peer may wait three times as long while an attack lasts. */
const RATIO = 3;

/** Each attack, and the quiet before it, in a run that has the time for them one by one. */
const LONGEST_S = 5;
const SHORTEST_S = 1.5;

/** Attacks there are, about, and what one takes beside its own time and the quiet. */
const ATTACKS = 95;
const AROUND_S = 1.2;

/** Otherwise all attacks on a program at once, for so long. */
const TOGETHER_S = 10;

export const hostile: Part = {
  name: 'hostile',
  about: 'attacks on every protocol, while honest people chat and look each other up',
  weight: 6,
  fromMinutes: 5,
  async run({ seed, budgetMs, signal, log }) {
    const oneByOneS = Math.min(LONGEST_S, (budgetMs / 1000 / ATTACKS - AROUND_S) / 2);
    const together = oneByOneS < SHORTEST_S;
    const report = await play({
      seed,
      seconds: together ? TOGETHER_S : oneByOneS,
      together,
      signal,
      log: (line) => (line.includes('before it ended') ? log(line) : undefined),
    });
    log(hostileTable(report).replaceAll('\n', '\n  '));
    const within = report.rows.filter(({ ratio }) => ratio === undefined || ratio <= RATIO).length;
    const worst = report.rows.toSorted((a, b) => (b.ratio ?? 0) - (a.ratio ?? 0))[0]!;
    const peak = (by: string): number =>
      Math.max(
        ...report.rows.filter(({ against }) => against === by).map(({ peakRssBytes }) => peakRssBytes),
      );
    return {
      violations: [
        ...report.broken,
        ...report.rows.flatMap(({ attack, against, broken }) =>
          broken.map((what) => `${attack} against ${against}: ${what}`),
        ),
      ],
      figures: [
        { name: 'attacks, each against a daemon or a bootstrap node', value: `${report.rows.length}` },
        {
          name: `attacks under which the p99 of honest people stays within ${RATIO} times that of quiet`,
          value: `${within}`,
          asked: 'all',
        },
        {
          name: 'the worst',
          value: `${worst.attack} against a ${worst.against}: ${worst.ratio?.toFixed(1) ?? '-'} times`,
        },
        {
          name: 'most memory of a daemon; of a bootstrap node',
          value: `${megabytes(peak('daemon'))}; ${megabytes(peak('bootstrap'))}`,
        },
      ],
    };
  },
};
