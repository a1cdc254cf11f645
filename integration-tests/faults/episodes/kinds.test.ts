import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { metric } from '../../harness/metrics.ts';
import { randomFrom } from '../../harness/random.ts';
import { scenario } from '../../harness/scenario.ts';
import type { Daemon } from '../../harness/daemon.ts';
import { waitFor } from '../../harness/wait-for.ts';
import type { FaultKind, Stage } from './kind.ts';
import { kind as clockJump } from '../kinds/clock-jump.ts';
import { kind as commitPoint } from '../kinds/commit-point.ts';
import { kind as drainedPrekeys } from '../kinds/drained-prekeys.ts';
import { kind as fileSizeQuota } from '../kinds/file-size-quota.ts';
import { kind as fullDisk } from '../kinds/full-disk.ts';
import { kind as ioError } from '../kinds/io-error.ts';
import { kind as kill } from '../kinds/kill.ts';
import { kind as oldBootstrap } from '../kinds/old-bootstrap.ts';
import { kind as pause } from '../kinds/pause.ts';
import { kind as reusedPrekey } from '../kinds/reused-prekey.ts';
import { kind as secondDaemon } from '../kinds/second-daemon.ts';
import { kind as unfinishedIntake } from '../kinds/unfinished-intake.ts';
import { smallDisk } from '../hook/small-disk.ts';

const HOUR_MS = 3_600_000;
/** A store's log alone may take 16 MiB before it goes into the database. */
const DISK_BYTES = 64 * 1024 * 1024;

/** One of each, short enough to play all of them. */
const STRIKES: readonly [kind: Omit<FaultKind<never>, 'draw'>, params: object][] = [
  [kill, { victim: 'ben', downMs: 0 }],
  [pause, { victim: 'ada', pausedMs: 300 }],
  [
    commitPoint,
    {
      victim: 'ben',
      point: 'messages.receive:after-commit',
      occurrence: 2,
      action: 'kill',
      downMs: 0,
    },
  ],
  [
    commitPoint,
    {
      victim: 'ada',
      point: 'messages.acked:before-commit',
      occurrence: 1,
      action: 'stop',
      downMs: 300,
    },
  ],
  [clockJump, { victim: 'ada', offsetMs: 87_600 * HOUR_MS, wrongMs: 600, restart: false }],
  [clockJump, { victim: 'ben', offsetMs: -HOUR_MS, wrongMs: 600, restart: true }],
  [ioError, { victim: 'ada', commits: 5, brokenMs: 300 }],
  [ioError, { victim: 'bootstrap', commits: 5, brokenMs: 300 }],
  [fileSizeQuota, { victim: 'ada', bytes: 0, quotaMs: 300 }],
  [fileSizeQuota, { victim: 'ben', bytes: 4_096, quotaMs: 300 }],
  [fullDisk, { victim: 'ada', fullMs: 300 }],
  [fullDisk, { victim: 'ben', fullMs: 300 }],
  [secondDaemon, { victim: 'ada' }],
  [secondDaemon, { victim: 'bootstrap' }],
  [oldBootstrap, { victim: 'bootstrap', ageMs: 500, downMs: 0 }],
  [unfinishedIntake, { victim: 'ben', downMs: 1_000, moment: 'before-commit', occurrence: 1 }],
  [unfinishedIntake, { victim: 'ben', downMs: 1_000, moment: 'after-commit', occurrence: 1 }],
  [reusedPrekey, { victim: 'ben', mailbox: 'bootstrap', sessions: 2, replays: 1 }],
  [drainedPrekeys, { victim: 'ben', mailbox: 'bootstrap', from: 0 }],
];

/** Sends from one to the other until the signal fires. Returns what was taken on, and what was not or may not have been. */
async function sendUntil(from: Daemon, to: string, until: AbortSignal): Promise<[string[], string[]]> {
  const queued: string[] = [];
  const refused: string[] = [];
  for (let number = 1; !until.aborted; number++) {
    const text = `message ${number}`;
    try {
      await from.client.call('send', { to, text });
      queued.push(text);
    } catch {
      refused.push(text);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return [queued, refused];
}

scenario('each kind of fault strikes, and goes by, while messages flow', async (town, t) => {
  const { signal, folder } = town;
  const random = randomFrom(1);
  const bootstrap = await town.bootstrap({ hook: true });
  await mkdir(join(folder, 'ben'));
  await using disk = await smallDisk(join(folder, 'ben'), { bytes: DISK_BYTES, signal });
  if (disk === undefined) t.diagnostic('left out: a disk that is really full, as none can be mounted here');
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [bootstrap], hook: true }),
    town.daemon('ben', { name: 'ben', bootstrap: [bootstrap], hook: true }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  await ada.client.call('addContact', { who: 'ben' }, { signal });
  await ben.client.call('addContact', { who: 'ada' }, { signal });
  const people = new Map([
    ['ada', ada],
    ['ben', ben],
  ]);
  const stage: Stage = {
    town,
    people,
    bootstrap,
    proxies: new Map(),
    lab: undefined,
    random,
    signal,
    async revive(victim) {
      const { program } = victim === 'bootstrap' ? bootstrap : people.get(victim)!;
      if (!program.running) await program.start();
    },
  };
  const over = new AbortController();
  // Whatever becomes of the test: a sender that went on would keep its process alive for good.
  t.after(() => over.abort());
  const sending = sendUntil(ada, ben.peerId, over.signal);
  for (const [kind, params] of STRIKES) {
    const from = performance.now();
    await kind.play(params as never, stage);
    t.diagnostic(`${kind.name} ${JSON.stringify(params)}: ${Math.round(performance.now() - from)} ms`);
    // Still there, all of them, and none the worse.
    for (const { program } of [ada, ben, bootstrap]) assert.ok(program.running, kind.name);
    await waitFor('a message to get through', () => ada.send(ben.peerId, `after ${kind.name}`, 'delivered'), {
      signal,
    });
  }
  assert.ok((await metric(bootstrap, 'tincan_prekey_requests_total{outcome="last_resort"}')) > 0);
  over.abort();
  const [queued] = await sending;
  await waitFor(
    'all to be delivered',
    async () => (await ada.client.call('status', {}, { signal })).outbox.messages === 0,
    { signal },
  );
  const arrived = (await ben.inbox()).map(({ text }) => text).filter((text) => text.startsWith('message'));
  assert.equal(new Set(arrived).size, arrived.length);
  assert.deepEqual(
    queued.filter((text) => !arrived.includes(text)),
    [],
  );
  const numbers = arrived.map((text) => Number(text.slice('message '.length)));
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  const causes = STRIKES.flatMap(([{ causes = [] }]) => causes);
  const unexplained = town.errors().filter((line) => !causes.some((cause) => cause.test(line)));
  assert.deepEqual(unexplained, []);
});
