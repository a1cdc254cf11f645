import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { percentile } from '../../benchmarks/figure.ts';
import { runCommand } from '../../harness/command.ts';
import { randomFrom } from '../../harness/random.ts';
import type { Program } from '../../harness/program.ts';
import { openTown } from '../../harness/town.ts';
import type { Attack, AttackTarget } from './attack.ts';
import { allAttacks } from './attack-list.ts';
import type { AttackNews, AttackOrder } from './attack-process.ts';
import { HOSTILE_LIMITS } from './hostile-limits.ts';
import { honestPeers, hostileTown } from './hostile-peers.ts';
import type { Honest, HostileTown } from './hostile-peers.ts';
import { hostileTable } from './hostile-report.ts';
import type { HostileReport, HostileRow, Latency } from './hostile-report.ts';
import { watch } from './hostile-victim.ts';
import { heldBy } from '../load/resources.ts';

/*
 * Plays attacks against a town whose people go about their business, and says what they noticed.
 * `node integration-tests/faults/hostile/hostile.ts [--seed N] [--seconds S] [--only TEXT,…]`
 */

export interface HostileOptions {
  seed: number;
  /** How long each attack goes on, and the quiet before it: a second of that is enough for a test of limits. */
  seconds: number;
  /** Only the attacks whose name has one of these, divided by commas, in it. */
  only?: string;
  /** Plays all attacks on a program at once instead of one after the other. */
  together?: boolean;
  signal: AbortSignal;
  log: (line: string) => void;
}

/** What the victim has to come back from an attack. */
const RECOVERY_MS = 15_000;
const LOOK_MS = 500;

/** Shown of what a program said that has ended. */
const LAST_CHARS = 5_000;

/** An attacker that does not end by itself after this long is ended. */
const END_MS = 3_000;

/** What each program has a part in: what suffers when it is attacked. */
const CONCERNED: Record<AttackTarget['by'], readonly (keyof ReturnType<Honest['take']>)[]> = {
  daemon: ['chat'],
  bootstrap: ['chat', 'resolve', 'deposit'],
};

/** Where the attacked program runs, and where everybody else does, on a machine with two cores or more. */
const VICTIM_CORE = '0';
const OTHERS_CORE = '1';

/** Attackers stand back behind the honest, who on a real network would have machines of their own. */
const ATTACKERS = ['nice', '-n', '10', 'taskset', '-c', OTHERS_CORE];

/** Whether programs can be put on cores of their own here. */
async function canPin({ signal }: { signal: AbortSignal }): Promise<boolean> {
  if (availableParallelism() < 2) return false;
  const found = await runCommand(['taskset', '-c', VICTIM_CORE, 'true'], { signal }).catch(() => undefined);
  return found?.code === 0;
}

/** Gives the attacked program a core of its own, with all its threads. */
async function pin(
  victim: Program,
  others: readonly Program[],
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const put = (pid: number, core: string) =>
    runCommand(['taskset', '-a', '-c', '-p', core, String(pid)], { signal });
  await put(victim.pid, VICTIM_CORE);
  for (const { pid } of others) await put(pid, OTHERS_CORE);
}

function targetOf(
  { bootstrap, ben }: HostileTown,
  by: AttackTarget['by'],
): AttackTarget & { program: Program } {
  const { program, dataDir } = by === 'daemon' ? ben : bootstrap;
  const { peerId, multiaddrs } = program.ready;
  const address = multiaddrs[0]!.replace(/\/p2p\/.*$/, '');
  const [, host, port] = /^\/ip4\/([^/]+)\/tcp\/(\d+)$/.exec(address)!;
  const multiaddr = `${address}/p2p/${peerId}`;
  return { by, multiaddr, peerId, host: host!, port: Number(port), dataDir, program };
}

interface Attacker {
  /** Ends the attack, and says what it counted. */
  end(): Promise<Record<string, number>>;
}

/** Starts a process that attacks; resolves when it has begun. */
async function attacker(order: AttackOrder, prefix: readonly string[]): Promise<Attacker> {
  const command = [...prefix, process.execPath];
  const child = fork(join(import.meta.dirname, 'attack-process.ts'), [JSON.stringify(order)], {
    execPath: command[0],
    execArgv: command.slice(1),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let counts: Record<string, number> = {};
  const begun = Promise.withResolvers<void>();
  child.on('message', (news: AttackNews) => {
    if ('begun' in news) begun.resolve();
    else {
      ({ counts } = news);
      child.kill('SIGKILL');
    }
  });
  const exited = once(child, 'exit');
  await Promise.race([begun.promise, exited]);
  return {
    async end() {
      if (child.connected) child.send('enough');
      const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
      await exited;
      clearTimeout(late);
      return counts;
    },
  };
}

function latency(times: readonly number[]): Latency {
  if (times.length === 0) return { p50: undefined, p99: undefined };
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

interface Play {
  attacks: readonly Attack[];
  by: AttackTarget['by'];
  town: HostileTown;
  honest: Honest;
  /** Whether the attacked program gets a core of its own. */
  apart: boolean;
  options: HostileOptions;
}

/** Quiet, then the attack, then what is left of it. */
async function play({ attacks, by, town, honest, apart, options }: Play): Promise<HostileRow> {
  const { signal, seconds, seed } = options;
  const { program, ...target } = targetOf(town, by);
  const { pid } = program;
  const others = [town.bootstrap, town.ada, town.ben]
    .map((one) => one.program)
    .filter((one) => one !== program);
  if (apart) await pin(program, others, { signal });
  const spell = (length: number): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(length * 1000)]);
  honest.take();
  honest.failures();
  const quiet = await watch(pid, { signal: spell(attacks.length > 1 ? 1 : seconds) });
  const quietTimes = honest.take();
  const before = await heldBy(program);

  const attack = await attacker(
    { names: attacks.map(({ name }) => name), target, seed },
    apart ? ATTACKERS : [],
  );
  honest.take();
  const taken = await watch(pid, { signal: spell(seconds) });
  const times = honest.take();
  const counts = await attack.end();
  const limits = HOSTILE_LIMITS[by];
  let after = await heldBy(program);
  for (const end = performance.now() + RECOVERY_MS; performance.now() < end && !signal.aborted;) {
    const isBack =
      after.handles <= before.handles + limits.keptHandles && after.bytes <= before.bytes + limits.keptBytes;
    if (isBack) break;
    await delay(LOOK_MS, undefined, { signal });
    after = await heldBy(program);
  }

  const figures = CONCERNED[by].map((what) => {
    const [calm, attacked] = [latency(quietTimes[what]), latency(times[what])];
    const ratio = calm.p99 === undefined || attacked.p99 === undefined ? undefined : attacked.p99 / calm.p99;
    return [what, { quiet: calm, attacked, ratio }] as const;
  });
  const ratios = figures.flatMap(([, { ratio }]) => (ratio === undefined ? [] : [ratio]));
  const row: HostileRow = {
    attack: attacks.length === 1 ? attacks[0]!.name : `${attacks.length} attacks at once`,
    against: by,
    honest: Object.fromEntries(figures),
    ratio: ratios.length === 0 ? undefined : Math.max(...ratios),
    quietCpuShare: quiet.cpuShare,
    cpuShare: taken.cpuShare,
    beforeBytes: before.bytes,
    peakRssBytes: taken.peakRssBytes,
    afterBytes: after.bytes,
    beforeHandles: before.handles,
    peakHandles: taken.peakHandles,
    afterHandles: after.handles,
    counts,
    failed: Object.fromEntries(honest.failures()),
    broken: [],
  };
  if (row.peakRssBytes > limits.rssBytes) row.broken.push(`memory over ${limits.rssBytes}`);
  if (row.peakHandles > limits.handles) row.broken.push(`handles over ${limits.handles}`);
  if (row.afterBytes > row.beforeBytes + limits.keptBytes)
    row.broken.push(`${row.afterBytes} bytes after it, ${row.beforeBytes} before`);
  if (row.afterHandles > row.beforeHandles + limits.keptHandles)
    row.broken.push(`${row.afterHandles} handles after it, ${row.beforeHandles} before`);
  return row;
}

/** Which of the honest's lines are not in the recipient's history, or are there more than once. */
async function lostLines({ ben }: HostileTown, { said }: Honest): Promise<string[]> {
  const seen = new Map<string, number>();
  for (const { text } of await ben.inbox()) seen.set(text, (seen.get(text) ?? 0) + 1);
  return said.filter((text) => seen.get(text) !== 1);
}

/** Plays attacks, each for some seconds after as much quiet, and reports what the honest and their programs noticed. */
export async function hostile(options: HostileOptions): Promise<HostileReport> {
  const { seed, only = '', together = false, signal, log } = options;
  const random = randomFrom(seed);
  const wanted = only.split(',');
  const attacks = (await allAttacks()).filter(({ name }) => wanted.some((part) => name.includes(part)));
  const apart = await canPin({ signal });
  const report: HostileReport = { seed, apart, rows: [], broken: [] };
  await using town = await openTown({ signal });
  const people = await hostileTown(town);
  const programs = [people.bootstrap, people.ada, people.ben].map(({ program }) => program);
  try {
    await using honest = await honestPeers(people);
    // A first spell that does not count: caches and compiled code.
    await delay(1_000, undefined, { signal });
    for (const by of ['daemon', 'bootstrap'] as const) {
      const concerned = attacks.filter(({ against }) => against.includes(by));
      for (const several of together ? [concerned] : concerned.map((attack) => [attack])) {
        const seeded = { ...options, seed: Math.floor(random() * 2 ** 31) };
        const row = await play({ attacks: several, by, town: people, honest, apart, options: seeded });
        report.rows.push(row);
        log(`${row.attack} against ${by}: ${JSON.stringify(row)}`);
      }
    }
    await honest[Symbol.asyncDispose]();
    const lost = await lostLines(people, honest);
    if (lost.length > 0) report.broken.push(`${lost.length} honest messages lost or doubled: ${lost[0]}`);
  } catch (error) {
    signal.throwIfAborted();
    const ended = programs.filter(({ running }) => !running);
    // What else went wrong follows from that.
    if (ended.length === 0) throw error;
    for (const { label, log: said } of ended)
      log(`${label} said, before it ended:\n${said.slice(-LAST_CHARS)}`);
  }
  const causes = attacks.flatMap((attack) => attack.causes ?? []);
  for (const { label, running, errors } of programs) {
    if (!running) report.broken.push(`${label} has ended`);
    const unexplained = errors.filter((line) => !causes.some((cause) => cause.test(line)));
    if (unexplained.length > 0) report.broken.push(`${label} logged: ${unexplained[0]}`);
  }
  return report;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
      seconds: { type: 'string', default: '10' },
      only: { type: 'string', default: '' },
    },
  });
  const report = await hostile({
    seed: Number(values.seed),
    seconds: Number(values.seconds),
    only: values.only,
    signal: new AbortController().signal,
    log: (line) => console.error(line),
  });
  console.log(hostileTable(report));
  process.exitCode = report.broken.length > 0 || report.rows.some(({ broken }) => broken.length > 0) ? 1 : 0;
}
