import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openTown } from '../../harness/town.ts';
import type { Bootstrap, Town } from '../../harness/town.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Program } from '../../harness/program.ts';
import { stranger } from '../../harness/stranger.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { INSPECTED, inspector } from './resources-inspector.ts';
import type { Inspector } from './resources-inspector.ts';
import { resourcesOf } from './resources.ts';

/*
 * Looks for leaks: does the same thing thousands of times, and says how many bytes of each program a single one left
 * behind, garbage collected. `node integration-tests/faults/load/resources-growth.ts [--rounds N] [--settle SECONDS]
 * [--classes] [load…]`
 */

/** The first rounds fill what is filled once: caches, compiled code, the event log. */
const WARM_UP_ROUNDS = 2;
/** A daemon takes a bootstrap node that has served for so long for one that serves. */
const HELD_MS = 11_000;
const TEXT = 'x'.repeat(140);

export interface Players {
  town: Town;
  bootstrap: Bootstrap;
  ada: Daemon;
  ben: Daemon;
  signal: AbortSignal;
}

export interface Load {
  /** What is counted. */
  unit: string;
  each: number;
  /** Does it `each` times. */
  run(players: Players): Promise<void>;
}

async function sendAll({ ada, ben, signal }: Players, count: number): Promise<void> {
  const stream = ada.client.sendStream({ signal });
  const to = ben.peerId;
  const sending = (async () => {
    for (let sent = 0; sent < count; sent++) if (!stream.send({ to, text: TEXT })) await stream.drain();
    stream.end();
  })();
  for await (const answers of stream.batches)
    for (const answer of answers) if ('error' in answer) throw new Error(answer.error.message);
  await sending;
}

export const LOADS: Record<string, Load> = {
  messages: { unit: 'message', each: 10_000, run: async (players) => sendAll(players, 10_000) },

  single: {
    unit: 'single send',
    each: 1_000,
    async run({ ada, ben, signal }) {
      for (let sent = 0; sent < 1_000; sent++)
        await ada.client.call('send', { to: ben.peerId, text: TEXT, wait: 'delivered' }, { signal });
    },
  },

  reconnects: {
    unit: 'connection',
    each: 100,
    async run({ ada, ben, signal }) {
      for (let time = 0; time < 100; time++) {
        await ada.client.call('disconnect', { who: ben.peerId }, { signal }).catch(() => undefined);
        // A daemon takes so many new connections a second from one address, and no more.
        await waitFor('a connection', () => ada.client.call('connect', { who: ben.peerId }, { signal }), {
          signal,
        });
        await ada.send(ben.peerId, TEXT, 'delivered');
      }
    },
  },

  restarts: {
    unit: 'restart of the friend',
    each: 5,
    async run({ ada, ben }) {
      for (let time = 0; time < 5; time++) {
        await ben.program.kill();
        await ada.send(ben.peerId, TEXT);
        await ben.program.start();
        await ben.connected();
        await ada.send(ben.peerId, TEXT, 'delivered');
      }
    },
  },

  bootstrap: {
    unit: 'restart of the bootstrap node',
    each: 1,
    async run({ bootstrap, ada, ben, signal }) {
      await bootstrap.program.kill();
      await bootstrap.program.start();
      await Promise.all([ada.connected(), ben.connected()]);
      // A link that is lost sooner is dialled later each time.
      await delay(HELD_MS, undefined, { signal });
    },
  },

  reads: {
    unit: 'round of API calls',
    each: 500,
    async run({ ada, ben, signal }) {
      for (let time = 0; time < 500; time++) {
        await ada.client.call('status', {}, { signal });
        await ada.client.call('history', { who: ben.peerId, limit: 20 }, { signal });
        await ada.client.call('peers', {}, { signal });
      }
    },
  },

  lookups: {
    unit: 'lookup',
    each: 300,
    async run({ ada, ben, signal }) {
      for (let time = 0; time < 300; time++)
        await ada.client.call('whois', { who: ben.peerId }, { signal }).catch(() => undefined);
    },
  },

  readers: {
    unit: 'event stream',
    each: 300,
    async run({ ada, ben }) {
      for (let time = 0; time < 300; time++) {
        const stop = new AbortController();
        const events = ada.client.events({ signal: stop.signal });
        const first = events[Symbol.asyncIterator]().next();
        if (time % 50 === 0) await ada.send(ben.peerId, TEXT, 'delivered');
        await ada.client.call('identity', {}, {});
        stop.abort();
        await first.catch(() => undefined);
      }
    },
  },

  strangers: {
    unit: 'stranger at the bootstrap node',
    each: 100,
    async run({ bootstrap, signal }) {
      for (let time = 0; time < 100; time++) {
        await using somebody = await stranger({ signal });
        const stream = await somebody.open(bootstrap.multiaddr, '/ipfs/ping/1.0.0');
        stream.abort(new Error('enough'));
      }
    },
  },

  callers: {
    unit: 'stranger at a daemon',
    each: 100,
    async run({ ada, signal }) {
      for (let time = 0; time < 100; time++) {
        await using somebody = await stranger({ signal });
        const [address] = ada.program.ready.multiaddrs;
        const stream = await somebody.open(address!, '/ipfs/ping/1.0.0');
        stream.abort(new Error('enough'));
      }
    },
  },
};

async function openPlayers(town: Town, signal: AbortSignal): Promise<Players> {
  const env = INSPECTED;
  const bootstrap = await town.bootstrap({ env });
  const ada = await town.daemon('ada', { bootstrap: [bootstrap], name: 'ada', env });
  const ben = await town.daemon('ben', { bootstrap: [bootstrap], name: 'ben', env });
  await Promise.all([ada.connected(), ben.connected()]);
  await waitFor('ben to be found', async () => ada.knows('ben'), { signal });
  await ada.send('ben', 'hello', 'delivered');
  return { town, bootstrap, ada, ben, signal };
}

interface Look {
  bytes: number;
  handles: number;
  classes: Map<string, number>;
}

async function held(program: Program): Promise<number> {
  using there = await inspector(program);
  const { heapBytes, bufferBytes } = await there.held();
  return heapBytes + bufferBytes;
}

async function classesOf(program: Program): Promise<Map<string, number>> {
  using there: Inspector = await inspector(program);
  return await there.classes();
}

/** What a load left behind in one program. */
export interface Growth {
  label: string;
  /** How often it was done. */
  times: number;
  /** Bytes of heap and buffers, garbage collected. */
  bytes: { before: number; after: number };
  handles: { before: number; after: number };
  /** Of which classes there are more objects than before, one for twenty times at least. */
  classes: Map<string, number>;
}

export interface GrowthOptions {
  rounds: number;
  /** Waited before each look: what only waits for a timer is no leak. */
  settleMs: number;
  showClasses: boolean;
  signal: AbortSignal;
}

/** Does something over and over. Says nothing of a program that the load itself starts again. */
export async function measureGrowth(
  { each, run }: Load,
  { rounds, settleMs, showClasses, signal }: GrowthOptions,
): Promise<Growth[]> {
  await using town = await openTown({ signal });
  const players = await openPlayers(town, signal);
  const programs = [players.bootstrap, players.ada, players.ben].map(({ program }) => program);
  const look = async (program: Program): Promise<Look> => ({
    bytes: await held(program),
    handles: (await resourcesOf(program.pid))?.handles ?? NaN,
    classes: showClasses ? await classesOf(program) : new Map<string, number>(),
  });
  const pids = programs.map(({ pid }) => pid);
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await run(players);
  await delay(settleMs, undefined, { signal });
  const before = await Promise.all(programs.map(look));
  for (let round = 0; round < rounds; round++) await run(players);
  await delay(settleMs, undefined, { signal });
  const after = await Promise.all(programs.map(look));
  const times = rounds * each;
  return programs.flatMap(({ label, pid }, at) => {
    if (pid !== pids[at]) return [];
    const [first, last] = [before[at]!, after[at]!];
    const more = [...last.classes]
      .map(([key, count]) => [key, count - (first.classes.get(key) ?? 0)] as const)
      .filter(([, count]) => count >= times / 20)
      .sort(([, a], [, b]) => b - a);
    return [
      {
        label,
        times,
        bytes: { before: first.bytes, after: last.bytes },
        handles: { before: first.handles, after: last.handles },
        classes: new Map(more),
      },
    ];
  });
}

function print({ label, times, bytes, handles, classes }: Growth, unit: string): void {
  const each = ((bytes.after - bytes.before) / times).toFixed(0);
  const [before, after] = [bytes.before, bytes.after].map((count) => (count / 1024 / 1024).toFixed(2));
  process.stdout.write(
    `${label}: ${each} bytes a ${unit} (${times}; ${before} -> ${after} MiB; ` +
      `${handles.before} -> ${handles.after} handles)\n`,
  );
  for (const [key, count] of [...classes].slice(0, 20)) process.stdout.write(`    ${count} more: ${key}\n`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '6' },
      // Longer than our timers run.
      settle: { type: 'string', default: '65' },
      classes: { type: 'boolean', default: false },
    },
  });
  for (const name of positionals.length === 0 ? Object.keys(LOADS) : positionals) {
    const load = LOADS[name];
    if (load === undefined) throw new Error(`no load ${name}; there are ${Object.keys(LOADS).join(', ')}`);
    process.stdout.write(`${name}\n`);
    const found = await measureGrowth(load, {
      rounds: Number(values.rounds),
      settleMs: Number(values.settle) * 1000,
      showClasses: values.classes,
      signal: new AbortController().signal,
    });
    for (const growth of found) print(growth, load.unit);
  }
}
