import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { benchProcess } from './bench-process.ts';
import type { BenchProcess } from './bench-process.ts';
import type { Measured } from './figure.ts';
import { addressOf, openPrograms } from './programs.ts';

/** Memory is read, and idle CPU counted, after and over this long. */
const SETTLE_MS = 5_000;
const IDLE_MS = 10_000;

const PEERS = [200, 1_000];
const PEER_PROCESSES = 4;

/** `sysconf(_SC_CLK_TCK)` on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Within this of a bare libp2p node with the same services. */
const REACH = 1.3;

interface Footprint {
  megabytes: number;
  /** Per cent of one core. */
  cpu: number;
}

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}

/** What processes take while nothing happens, read over the same seconds. */
async function idle(pids: readonly number[]): Promise<Footprint[]> {
  await delay(SETTLE_MS);
  const before = await Promise.all(pids.map(cpuSeconds));
  await delay(IDLE_MS);
  const after = await Promise.all(pids.map(cpuSeconds));
  const memory = await Promise.all(pids.map(residentMegabytes));
  return pids.map((_, index) => ({
    megabytes: memory[index]!,
    cpu: ((after[index]! - before[index]!) / (IDLE_MS / 1000)) * 100,
  }));
}

function compared(name: string, unit: string, ours: number, floor: string, bare: number): Measured {
  const ratio = ours / bare;
  return {
    name,
    unit,
    ours: [ours],
    floors: [{ name: floor, values: [bare], reach: REACH, ratio, reached: ratio <= REACH }],
  };
}

async function connectAll(to: string, count: number, stack: AsyncDisposableStack): Promise<void> {
  const processes: BenchProcess[] = Array.from({ length: PEER_PROCESSES }, () =>
    stack.use(benchProcess('light-peers.ts')),
  );
  await Promise.all(processes.map((peers) => peers.call('connect', { to, count: count / PEER_PROCESSES })));
}

/** Memory and idle CPU of the programs beside bare nodes, all running at the same time. Linux only: it reads /proc. */
export async function footprints(): Promise<Measured[]> {
  const measured: Measured[] = [];
  {
    await using stack = new AsyncDisposableStack();
    const programs = stack.use(await openPrograms());
    const bootstrap = await programs.bootstrap();
    const { program: daemon } = await programs.daemon('idle', bootstrap);
    const bareBootstrap = stack.use(benchProcess('floor-services.mjs', ['bootstrap']));
    const bareDaemon = stack.use(benchProcess('floor-services.mjs', ['daemon']));
    await Promise.all([bareBootstrap.call('address'), bareDaemon.call('address')]);
    const pids = [daemon.pid, bareDaemon.pid, bootstrap.pid, bareBootstrap.pid];
    const [own, bare, ownHub, bareHub] = (await idle(pids)) as [Footprint, Footprint, Footprint, Footprint];
    const floor = 'a bare libp2p node with the same services';
    measured.push(
      compared('memory of a daemon', 'MB', own.megabytes, floor, bare.megabytes),
      compared('memory of a bootstrap node', 'MB', ownHub.megabytes, floor, bareHub.megabytes),
      { name: 'idle CPU of a daemon', unit: '% of a core', ours: [own.cpu], floors: [] },
      { name: 'idle CPU of a bootstrap node', unit: '% of a core', ours: [ownHub.cpu], floors: [] },
    );
  }
  for (const count of PEERS) {
    await using stack = new AsyncDisposableStack();
    const programs = stack.use(await openPrograms());
    const bootstrap = await programs.bootstrap();
    const bare = stack.use(benchProcess('floor-services.mjs', ['bootstrap']));
    const [ownBefore, bareBefore] = (await idle([bootstrap.pid, bare.pid])) as [Footprint, Footprint];
    await connectAll(addressOf(bootstrap), count, stack);
    await connectAll(await bare.call<string>('address'), count, stack);
    const [own, floor] = (await idle([bootstrap.pid, bare.pid])) as [Footprint, Footprint];
    const perPeer = (after: Footprint, before: Footprint): number =>
      ((after.megabytes - before.megabytes) * 1024) / count;
    measured.push(
      compared(
        `memory of a bootstrap node with ${count} peers connected`,
        'MB',
        own.megabytes,
        'the bare node',
        floor.megabytes,
      ),
      compared(
        `memory of a bootstrap node per connected peer, ${count} peers`,
        'KB',
        perPeer(own, ownBefore),
        'the bare node',
        perPeer(floor, bareBefore),
      ),
      {
        name: `idle CPU of a bootstrap node with ${count} peers connected`,
        unit: '% of a core',
        ours: [own.cpu],
        floors: [
          {
            name: 'the bare node',
            values: [floor.cpu],
            reach: null,
            ratio: own.cpu / floor.cpu,
            reached: null,
          },
        ],
      },
    );
  }
  return measured;
}
