import { setTimeout as delay } from 'node:timers/promises';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Connection } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { bootstrapPeerId } from '../../../node/bootstrap-link.ts';
import { phonebookClient } from '../../../protocols/phonebook/client.ts';
import { PHONEBOOK_PROTOCOL } from '../../../protocols/phonebook/protocol.ts';
import { libp2pBase } from '../../../protocols/transport/base.ts';
import { DAEMON_LIMITS } from '../../../protocols/transport/limits.ts';
import { serveBench } from '../../benchmarks/bench-process.ts';
import { randomFrom } from '../../harness/random.ts';

/* Somebody honest who looks names up all the time, in a process without anything else to do. */

/** One peer may look up 600 names a minute: each of these asks for 375. */
const ASKERS = 8;
const PAUSE_MS = 160;

/** Between attempts to connect: an asker is no daemon, and wants to be there when the node is. */
const DIAL_PAUSE_MS = 100;

/** A resolve that takes longer is an error, and counts as having taken so long. */
const RESOLVE_MS = 5_000;

export interface ProbeInit {
  to: string;
  peers: readonly { name: string; peerId: string }[];
  seed: number;
}

/** What was asked since the last time. */
export interface ProbeReport {
  /** Milliseconds, of each resolve on a connection that was there. */
  tookMs: number[];
  errors: Record<string, number>;
  /** Dials that failed. */
  unreachable: number;
}

let seen: ProbeReport = { tookMs: [], errors: {}, unreachable: 0 };
const { signal } = new AbortController();

async function asker({ to, peers, seed }: ProbeInit): Promise<void> {
  const privateKey = await generateKeyPair('Ed25519');
  const host = await createLibp2p({
    ...libp2pBase({
      privateKey,
      listen: [],
      announce: [],
      limits: DAEMON_LIMITS,
      onListenError: () => undefined,
    }),
    services: { identify: identify(), ping: ping() },
  });
  const random = randomFrom(seed);
  let connection: Connection | undefined;
  const phonebook = phonebookClient({
    openStream: (options) => connection!.newStream(PHONEBOOK_PROTOCOL, options),
    phonebook: bootstrapPeerId(to).toString(),
  });
  while (!signal.aborted) {
    if (connection?.status !== 'open') {
      connection = await host.dial(multiaddr(to), { signal: AbortSignal.timeout(RESOLVE_MS) }).catch(() => {
        seen.unreachable++;
        return undefined;
      });
      if (connection === undefined) await delay(DIAL_PAUSE_MS);
      continue;
    }
    const { name, peerId } = peers[Math.floor(random() * peers.length)]!;
    const startMs = performance.now();
    const on = connection;
    try {
      const found = await phonebook.resolve({ name }, { signal: AbortSignal.timeout(RESOLVE_MS) });
      if (found.peerId !== peerId) throw new Error('somebody else');
      seen.tookMs.push(performance.now() - startMs);
    } catch (error) {
      // What the end of its connection cut off says nothing about how long an answer takes.
      const cut = on.status !== 'open';
      const kind = cut ? 'the connection was lost' : `${(error as Error).name}: ${(error as Error).message}`;
      seen.errors[kind] = (seen.errors[kind] ?? 0) + 1;
      if (!cut) seen.tookMs.push(performance.now() - startMs);
    }
    await delay(PAUSE_MS * (0.5 + random()));
  }
}

serveBench({
  start({ to, peers, seed }: ProbeInit) {
    for (let index = 0; index < ASKERS; index++) void asker({ to, peers, seed: seed + index });
  },

  report(): ProbeReport {
    const report = seen;
    seen = { tookMs: [], errors: {}, unreachable: 0 };
    return report;
  },
});
