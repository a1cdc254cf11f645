import { storm as play } from '../load/storm.ts';
import type { FigureRow, Part } from './part.ts';
import { megabytes, seconds } from './part.ts';

const PEERS = 1_000;
const FEWEST_PEERS = 100;

/** What a peer takes on two cores: to connect, to come back, to be looked after. */
const PEER_MS = 100;

/** What was asked for. */
const BACK_MS = 60_000;
const RESOLVE_P99_MS = 500;

export const storm: Part = {
  name: 'storm',
  about: `${PEERS.toLocaleString('en')} peers lose their bootstrap node and come back`,
  weight: 4,
  fromMinutes: 5,
  async run({ seed, budgetMs, signal, log }) {
    const peers = Math.round(Math.max(FEWEST_PEERS, Math.min(PEERS, budgetMs / PEER_MS)));
    const { renewedMs, blobs, resolves, resources, cpuMsPerPeer } = await play({
      seed,
      peers,
      signal,
      log,
    });
    const violations: string[] = [];
    if (!Number.isFinite(renewedMs.last)) violations.push('not everybody came back');
    if (blobs.missing > 0) violations.push(`${blobs.missing} blobs of ${blobs.left} were not handed out`);
    if (blobs.twice > 0) violations.push(`${blobs.twice} blobs were handed out twice`);
    const asked = (ms: number, limitMs: number): string =>
      `${limitMs / 1000} s: ${ms <= limitMs ? 'reached' : '**not reached**'}`;
    const figures: FigureRow[] = [
      { name: 'peers', value: peers.toLocaleString('en') },
      {
        name: 'since the node is back, until its peers are connected and registered: median; last',
        value: `${seconds(renewedMs.median)}; ${seconds(renewedMs.last)}`,
        asked: asked(renewedMs.last, BACK_MS),
      },
      { name: 'blobs that waited for them, each handed out once', value: `${blobs.left}` },
      {
        name: 'a resolve meanwhile: median; p99; longest',
        value: `${resolves.storm.p50Ms} ms; ${resolves.storm.p99Ms} ms; ${resolves.storm.maxMs} ms`,
        asked: `p99 ${asked(resolves.storm.p99Ms, RESOLVE_P99_MS)}`,
      },
    ];
    if (resources !== undefined) {
      const { after, peakRssBytes, perPeerBytes } = resources;
      figures.push(
        { name: 'memory per connected peer', value: `${Math.round(perPeerBytes / 1024)} KB` },
        {
          name: 'memory of the node afterwards; at the most',
          value: `${megabytes(after.rssBytes)}; ${megabytes(peakRssBytes)}`,
        },
      );
    }
    if (cpuMsPerPeer !== undefined)
      figures.push({ name: 'processor time for each peer that comes back', value: `${cpuMsPerPeer} ms` });
    return { violations, figures };
  },
};
