import { tincan } from '../../harness/command.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { dataDirOf, oneOf, programOf } from '../episodes/victims.ts';

interface SecondDaemon {
  victim: Victim;
}

/** It has to give up by itself in this time on a busy machine. */
const REFUSED_MS = 20_000;

/** A second program on the same data directory: it is refused and says why, and the first one does not notice. */
export const kind: FaultKind<SecondDaemon> = {
  name: 'second-daemon',

  draw: (random, victims) => ({ victim: oneOf(random, victims) }),

  async play({ victim }, stage) {
    const program = programOf(stage, victim);
    if (!program.running) return;
    const { pid } = program;
    const dataDir = dataDirOf(stage, victim);
    const second = await tincan(
      [
        victim === 'bootstrap' ? 'bootstrap' : 'daemon',
        `--data-dir=${dataDir}`,
        '--listen=/ip4/127.0.0.1/tcp/0',
        '--http=127.0.0.1:0',
        '--log-level=silent',
      ],
      { signal: AbortSignal.any([stage.signal, AbortSignal.timeout(REFUSED_MS)]) },
    );
    // Another fault has ended the first one meanwhile: then the place was free.
    if (!program.running || program.pid !== pid) return;
    const { code, stdout, stderr } = second;
    if (code !== 1 || stdout !== '' || !stderr.includes(`another tincan process has ${dataDir}`))
      throw new Error(`a second process on ${dataDir} ended with ${code}: ${stdout}${stderr}`);
  },
};
