import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { fillDisk } from '../hook/small-disk.ts';
import { between, dataDirOf, oneOf, order, programOf } from '../episodes/victims.ts';

interface FullDisk {
  victim: Victim;
  fullMs: number;
}

/** No room left: for real where the data lies on a small disk of its own, and otherwise as SQLite would say it. */
export const kind: FaultKind<FullDisk> = {
  name: 'full-disk',

  draw: (random, victims) => ({ victim: oneOf(random, victims), fullMs: between(random, 200, 4_000) }),

  async play({ victim, fullMs }, stage) {
    const program = programOf(stage, victim);
    const wait = (): Promise<void> => delay(fullMs, undefined, { signal: stage.signal });
    await using filled = await fillDisk(dataDirOf(stage, victim));
    if (filled !== undefined) {
      await wait();
      return;
    }
    await order(program, { type: 'arm', point: '*', occurrence: 1, action: 'disk-full', commits: null });
    try {
      await wait();
    } finally {
      await order(program, { type: 'disarm' });
    }
  },

  causes: [/^(?!.*a part of the daemon).*StoreError.*disk is full/, /ENOSPC/],
};
