import type { Connection, Libp2p, PeerId } from '@libp2p/interface';
import { addressGroup } from './address-group.ts';

/** Part of all connections that is kept free, so that somebody new always gets in. */
const FREE_SHARE = 0.02;

/** A connection without a stream is of no use yet; after this long it is of no use at all. */
const IDLE_MS = 20_000;

export interface ConnectionRoomInit {
  maxConnections: number;
  /** Whose connections are never closed to make room: friends. */
  isKept: (peer: PeerId) => boolean;
  /** Wall clock. */
  nowMs: () => number;
}

/** What of a connection decides whether it goes. */
export interface Candidate {
  group: string;
  openedMs: number;
  streams: number;
}

/** Which connection goes first: one that is not used, then one of whoever has most, the newest of those. */
export function leastNeeded<T extends Candidate>(candidates: readonly T[], nowMs: number): T | undefined {
  const sizes = new Map<string, number>();
  for (const { group } of candidates) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  const isIdle = ({ streams, openedMs }: T): boolean => streams === 0 && nowMs - openedMs > IDLE_MS;
  let worst: T | undefined;
  for (const one of candidates) {
    const by =
      worst === undefined
        ? 1
        : Number(isIdle(one)) - Number(isIdle(worst)) ||
          sizes.get(one.group)! - sizes.get(worst.group)! ||
          one.openedMs - worst.openedMs;
    if (by > 0) worst = one;
  }
  return worst;
}

/** What of libp2p's connection manager is reached into. */
interface Insides {
  components: {
    connectionManager: {
      getConnections(peer?: PeerId): Connection[];
      getConnectionsMap(): { values(): Iterable<Connection[]> };
    };
  };
}

/**
 * Closes a connection nobody needs for each one that comes when nearly all places are taken: libp2p refuses the new one
 * instead, whoever it is.
 *
 * Also mends libp2p's list of all connections: it copies it once for every peer, and asks for it at each connection, which
 * took 10 ms of a node with 4,000.
 */
export function keepConnectionRoom(
  host: Pick<Libp2p, 'addEventListener'>,
  { maxConnections, isKept, nowMs }: ConnectionRoomInit,
): void {
  const { connectionManager } = (host as unknown as Insides).components;
  const ofPeer = connectionManager.getConnections.bind(connectionManager);
  connectionManager.getConnections = (peer) =>
    peer === undefined ? Array.from(connectionManager.getConnectionsMap().values()).flat() : ofPeer(peer);

  const open = new Map<Connection, string>();
  for (const connection of connectionManager.getConnections())
    open.set(connection, addressGroup(connection.remoteAddr));
  const most = maxConnections - Math.max(1, Math.floor(maxConnections * FREE_SHARE));
  host.addEventListener('connection:open', ({ detail: connection }) => {
    open.set(connection, addressGroup(connection.remoteAddr));
    if (open.size <= most) return;
    const candidates = Array.from(open)
      .filter(([{ direction, remotePeer }]) => direction === 'inbound' && !isKept(remotePeer))
      .map(([one, group]) => ({
        connection: one,
        group,
        openedMs: one.timeline.open,
        streams: one.streams.length,
      }));
    leastNeeded(candidates, nowMs())?.connection.abort(new Error('others need the place'));
  });
  host.addEventListener('connection:close', ({ detail: connection }) => {
    open.delete(connection);
  });
}
