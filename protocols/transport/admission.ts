import type { MultiaddrConnection, Upgrader } from '@libp2p/interface';
import { addressGroup } from './address-group.ts';
import type { TransportLimits } from './limits.ts';
import { tokenBucket } from './token-bucket.ts';

export type AdmissionLimits = Pick<
  TransportLimits,
  | 'handshakesPerSecond'
  | 'maxPendingInbound'
  | 'maxPendingPerAddress'
  | 'maxConnectionsPerAddress'
  | 'handshakeGraceMs'
>;

/** A connection that comes in and may not. */
export class AdmissionError extends Error {
  override name = 'AdmissionError';
}

interface Pending {
  group: string;
  sinceMs: number;
  connection: Pick<MultiaddrConnection, 'abort'>;
}

/**
 * Decides which inbound connections get as far as a handshake, before any of it has cost anything. Nobody behind one
 * address can take all places, neither among the handshakes nor among the connections; and when there are too many
 * handshakes, the one that has taken longest makes room, if it has had its time.
 */
export function admission(limits: AdmissionLimits, { nowMs }: { nowMs: () => number }) {
  /** Oldest first. */
  const pending = new Set<Pending>();
  const pendingOf = new Map<string, number>();
  const openOf = new Map<string, number>();
  const handshakes = tokenBucket({
    burst: limits.handshakesPerSecond,
    perSecond: limits.handshakesPerSecond,
  });

  const add = (counts: Map<string, number>, group: string, by: 1 | -1): void => {
    const count = (counts.get(group) ?? 0) + by;
    if (count === 0) counts.delete(group);
    else counts.set(group, count);
  };

  const settle = (one: Pending): void => {
    if (pending.delete(one)) add(pendingOf, one.group, -1);
  };

  /** Gives up the handshake that has taken longest. False when none has had its time. */
  const displace = (): boolean => {
    const [oldest] = pending;
    if (oldest === undefined || nowMs() - oldest.sinceMs < limits.handshakeGraceMs) return false;
    settle(oldest);
    oldest.connection.abort(new AdmissionError('others wait, and its handshake took too long'));
    return true;
  };

  const refusal = (group: string): string | undefined => {
    if ((openOf.get(group) ?? 0) >= limits.maxConnectionsPerAddress)
      return 'too many connections of its address';
    if ((pendingOf.get(group) ?? 0) >= limits.maxPendingPerAddress)
      return 'too many handshakes of its address';
    if (pending.size >= limits.maxPendingInbound && !displace()) return 'too many handshakes';
    if (handshakes.take(1, nowMs()).granted === 0) return 'too many new connections';
    return undefined;
  };

  return {
    /** How many handshakes are under way. */
    get pending(): number {
      return pending.size;
    },

    /**
     * Lets a connection in.
     *
     * @returns to be called when its handshake is over, either way
     * @throws AdmissionError
     */
    admit(connection: Pick<MultiaddrConnection, 'abort' | 'remoteAddr' | 'addEventListener'>): () => void {
      const group = addressGroup(connection.remoteAddr);
      const reason = refusal(group);
      if (reason !== undefined) throw new AdmissionError(reason);
      const one: Pending = { group, sinceMs: nowMs(), connection };
      pending.add(one);
      add(pendingOf, group, 1);
      add(openOf, group, 1);
      connection.addEventListener('close', () => add(openOf, group, -1), { once: true });
      return () => settle(one);
    },
  };
}

export type Admission = ReturnType<typeof admission>;

/** An upgrader that asks `admission` before it begins a handshake with somebody who came. */
export function admittingUpgrader(upgrader: Upgrader, { admit }: Pick<Admission, 'admit'>): Upgrader {
  return new Proxy(upgrader, {
    get(target, property) {
      if (property !== 'upgradeInbound') {
        const value: unknown = Reflect.get(target, property);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      }
      const upgradeInbound: Upgrader['upgradeInbound'] = async (connection, options) => {
        const settle = admit(connection);
        try {
          await target.upgradeInbound(connection, options);
        } finally {
          settle();
        }
      };
      return upgradeInbound;
    },
  });
}
