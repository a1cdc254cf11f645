import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { multiaddr } from '@multiformats/multiaddr';
import { peerIdFromString } from '@libp2p/peer-id';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { createLibp2p } from 'libp2p';
import { depositor } from '../../../protocols/mailbox/client.ts';
import { MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { libp2pBase } from '../../../protocols/transport/base.ts';
import { DAEMON_LIMITS } from '../../../protocols/transport/limits.ts';
import { benchProcess } from '../../benchmarks/bench-process.ts';
import type { BenchProcess } from '../../benchmarks/bench-process.ts';
import { median, percentile } from '../../benchmarks/figure.ts';
import { openTown } from '../../harness/town.ts';
import { waitFor } from '../../harness/wait-for.ts';
import type { LightPeersInit, LightPeersReport } from './light-clients.ts';
import { resourcesOf, settledResources } from './resources.ts';
import type { Resources } from './resources.ts';
import type { ProbeInit, ProbeReport } from './storm-probe.ts';

/** A process with more of them is short of CPU before the node is. */
const PEERS_PER_PROCESS = 250;

/** Left for each peer, before the storm. */
const BLOBS_EACH = 2;
const BLOB_BYTES = 300;
const KEEP_MS = 3600_000;

/** What a mailbox takes from one peer in a minute is 1,024. */
const DEPOSITS_PER_SENDER = 1000;

/** A minute, as the issue has it, and what a busy machine takes to start the node. */
const BACK_MS = 90_000;

/** Longer than the first few attempts to dial again. */
const GONE_MS = 10_000;

/** Resolves are measured for so long before and after the storm, and memory for as long again. */
const QUIET_MS = 5_000;

export type Outage = 'restart' | 'network';

export interface StormInit {
  seed: number;
  peers: number;
  signal: AbortSignal;
  log: (line: string) => void;
  /** The bootstrap node is killed and started again (unless said), or all its connections break. */
  outage?: Outage;
  /** How long the network is gone, where it is that. Default 10 s. */
  goneMs?: number;
  /** Less for who wants no figures. */
  quietMs?: number;
}

export interface Spread {
  count: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

export interface StormReport {
  peers: number;
  outage: Outage;
  /** Since the node, or the network, was back. */
  connectedMs: { median: number; last: number };
  renewedMs: { median: number; last: number };
  dials: number;
  failedDials: Record<string, number>;
  blobs: { left: number; collected: number; twice: number; missing: number };
  resolves: { quiet: Spread; storm: Spread; errors: Record<string, number>; unreachable: number };
  /** Undefined where the system does not tell. */
  resources:
    | { empty: Resources; before: Resources; after: Resources; peakRssBytes: number; perPeerBytes: number }
    | undefined;
  /** Of the node, for each peer that came back; milliseconds. Does not depend on what else the machine does. */
  cpuMsPerPeer: number | undefined;
}

function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) return { count: 0, p50Ms: NaN, p99Ms: NaN, maxMs: NaN };
  return {
    count: values.length,
    p50Ms: Math.round(percentile(values, 0.5) * 10) / 10,
    p99Ms: Math.round(percentile(values, 0.99) * 10) / 10,
    maxMs: Math.round(Math.max(...values) * 10) / 10,
  };
}

/** Leaves blobs for all, and says which. */
async function leaveBlobs(to: string, recipients: readonly string[], signal: AbortSignal): Promise<string[]> {
  const left: string[] = [];
  const perSender = Math.floor(DEPOSITS_PER_SENDER / BLOBS_EACH);
  for (let from = 0; from < recipients.length; from += perSender) {
    const privateKey = await generateKeyPair('Ed25519');
    const init = { privateKey, listen: [], announce: [], limits: DAEMON_LIMITS };
    const host = await createLibp2p(libp2pBase({ ...init, onListenError: () => undefined }));
    try {
      const mailbox = depositor({
        openStream: (options) => host.dialProtocol(multiaddr(to), MAILBOX_PROTOCOL, options),
        signal,
      });
      const requests = recipients.slice(from, from + perSender).flatMap((recipient) =>
        Array.from({ length: BLOBS_EACH }, () => ({
          recipient: peerIdFromString(recipient),
          blob: randomBytes(BLOB_BYTES),
          expiresMs: Date.now() + KEEP_MS,
        })),
      );
      for (const outcome of await mailbox.depositAll(requests)) if (outcome instanceof Error) throw outcome;
      left.push(...requests.map(({ blob }) => blob.toString('hex')));
    } finally {
      await host.stop();
    }
  }
  return left;
}

/** All reports of the processes in one. */
async function reportOf(processes: readonly BenchProcess[]): Promise<LightPeersReport> {
  const parts = await Promise.all(processes.map((each) => each.call<LightPeersReport>('report')));
  const failures: Record<string, number> = {};
  for (const part of parts)
    for (const [kind, count] of Object.entries(part.failures)) failures[kind] = (failures[kind] ?? 0) + count;
  return {
    peers: parts.flatMap(({ peers }) => peers),
    dials: parts.reduce((sum, part) => sum + part.dials, 0),
    failures,
  };
}

/**
 * All peers lose their bootstrap node together and come back, each as a daemon does. Each has something waiting in its
 * mailbox, and somebody looks names up all along.
 *
 * @throws Error when not all of them are back, with their mailboxes empty, within 90 s
 */
export async function storm({
  seed,
  peers: count,
  signal,
  log,
  outage = 'restart',
  goneMs = GONE_MS,
  quietMs = QUIET_MS,
}: StormInit): Promise<StormReport> {
  await using stack = new AsyncDisposableStack();
  const town = stack.use(await openTown({ signal }));
  const { program, multiaddr: to } = await town.bootstrap({ args: ['--log-level=info'] });
  const quiet = { signal, settleMs: quietMs };
  const empty = await settledResources(program.pid, quiet);

  const names = Array.from({ length: count }, (_, index) => `storm-${index}`);
  const processes: BenchProcess[] = [];
  const here: { name: string; peerId: string }[] = [];
  for (let from = 0; from < count; from += PEERS_PER_PROCESS) {
    const process = stack.use(benchProcess('../faults/load/light-clients.ts'));
    processes.push(process);
    const init: LightPeersInit = {
      to,
      names: names.slice(from, from + PEERS_PER_PROCESS),
      seed: seed * 1_000_003 + from,
    };
    here.push(...(await process.call<typeof here>('start', init)));
    log(`${here.length} peers are there`);
  }
  const left = await leaveBlobs(
    to,
    here.map(({ peerId }) => peerId),
    signal,
  );
  const probe = stack.use(benchProcess('../faults/load/storm-probe.ts'));
  await probe.call('start', { to, peers: here, seed } satisfies ProbeInit);
  await delay(quietMs, undefined, { signal });
  const before = await settledResources(program.pid, quiet);
  const calm = await probe.call<ProbeReport>('report');
  log(`${left.length} blobs are left; it has ${Math.round((before?.rssBytes ?? 0) / 1024 / 1024)} MiB`);

  if (outage === 'restart') await program.kill();
  await Promise.all(processes.map((each) => each.call('expect')));
  if (outage === 'restart') await program.start();
  else {
    await Promise.all(processes.map((each) => each.call('cut', { forMs: goneMs })));
    await delay(goneMs, undefined, { signal });
  }
  const backMs = Date.now();
  const cpuBeforeMs = (await resourcesOf(program.pid))?.cpuMs;
  log('the bootstrap node is there again');

  let report = await reportOf(processes);
  const wanted = new Set(left);
  await waitFor(
    `${count} peers to be back with their blobs`,
    async () => {
      report = await reportOf(processes);
      const all = report.peers.every(
        ({ connectedMs, renewedMs }) => connectedMs !== undefined && renewedMs !== undefined,
      );
      if (!all) return false;
      const got = new Set(report.peers.flatMap(({ blobs }) => blobs));
      return wanted.size === got.size;
    },
    { signal, timeoutMs: BACK_MS },
  ).catch((error: unknown) => {
    const back = report.peers.filter(({ renewedMs }) => renewedMs !== undefined).length;
    const got = new Set(report.peers.flatMap(({ blobs }) => blobs)).size;
    throw new Error(
      `${(error as Error).message}; ${back} are back, with ${got} of ${wanted.size} blobs; ${JSON.stringify(report.failures)}`,
      { cause: error },
    );
  });
  const cpuAfterMs = (await resourcesOf(program.pid))?.cpuMs;
  await delay(quietMs, undefined, { signal });
  const during = await probe.call<ProbeReport>('report');
  const peakRssBytes = (await resourcesOf(program.pid))?.peakRssBytes;
  const after = await settledResources(program.pid, quiet);
  // What comes twice, comes late.
  report = await reportOf(processes);

  const collected = report.peers.flatMap(({ blobs }) => blobs);
  const since = (times: (number | undefined)[]): { median: number; last: number } => {
    const took = times.map((time) => (time ?? Infinity) - backMs);
    return { median: median(took), last: Math.max(...took) };
  };
  return {
    peers: count,
    outage,
    connectedMs: since(report.peers.map(({ connectedMs }) => connectedMs)),
    renewedMs: since(report.peers.map(({ renewedMs }) => renewedMs)),
    dials: report.dials,
    failedDials: report.failures,
    blobs: {
      left: left.length,
      collected: collected.length,
      twice: collected.length - new Set(collected).size,
      missing: left.filter((blob) => !collected.includes(blob)).length,
    },
    resolves: {
      quiet: spreadOf(calm.tookMs),
      storm: spreadOf(during.tookMs),
      errors: during.errors,
      unreachable: during.unreachable,
    },
    resources:
      empty === undefined || before === undefined || after === undefined || peakRssBytes === undefined
        ? undefined
        : {
            empty,
            before,
            after,
            peakRssBytes,
            perPeerBytes: Math.round((after.rssBytes - empty.rssBytes) / count),
          },
    cpuMsPerPeer:
      cpuBeforeMs === undefined || cpuAfterMs === undefined
        ? undefined
        : Math.round(((cpuAfterMs - cpuBeforeMs) / count) * 10) / 10,
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      peers: { type: 'string', default: '1000' },
      outage: { type: 'string', default: 'restart' },
    },
  });
  const report = await storm({
    seed: Number(values.seed),
    peers: Number(values.peers),
    outage: values.outage as Outage,
    signal: new AbortController().signal,
    log: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}
