import { cp, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between } from '../episodes/victims.ts';

interface OldBootstrap {
  victim: Victim;
  /** How old the copy is when it is put back. */
  ageMs: number;
  downMs: number;
}

/** The bootstrap node is restored from an old copy of its data. */
export const kind: FaultKind<OldBootstrap> = {
  name: 'old-bootstrap',

  draw: (random) => ({
    victim: 'bootstrap',
    ageMs: between(random, 500, 10_000),
    downMs: between(random, 0, 1_000),
  }),

  async play({ victim, ageMs, downMs }, { bootstrap: { program, dataDir }, revive, signal }) {
    await using stack = new AsyncDisposableStack();
    const copy = `${dataDir}.old`;
    stack.defer(() => rm(copy, { recursive: true, force: true }));
    // A copy of files that are being written would be a broken one: this is one as of a power cut.
    if (program.running) program.pause();
    try {
      await cp(dataDir, copy, { recursive: true });
    } finally {
      if (program.running) program.resume();
    }
    await delay(ageMs, undefined, { signal });
    if (program.running) await program.kill();
    await rm(dataDir, { recursive: true });
    await cp(copy, dataDir, { recursive: true });
    await delay(downMs, undefined, { signal });
    await revive(victim);
  },
};
