import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { outageMs } from '../episodes/outage.ts';
import { oneOf } from '../episodes/victims.ts';

interface Partition {
  from: Victim;
  to: Victim;
  oneWay: boolean;
  partedMs: number;
}

/** Packets between two hosts vanish, or those from one to the other only. */
export const kind: FaultKind<Partition> = {
  name: 'partition',
  needs: 'lab',

  draw(random, victims) {
    const from = oneOf(random, victims);
    const to = oneOf(
      random,
      victims.filter((other) => other !== from),
    );
    return { from, to, oneWay: random() < 0.5, partedMs: outageMs(random) };
  },

  async play({ from, to, oneWay, partedMs }, { lab, signal }) {
    const lift = await lab!.partition(from, to, { oneWay });
    await delay(partedMs, undefined, { signal });
    await lift();
  },
};
