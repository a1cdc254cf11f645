import type { Connection, Logger } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { CHAT_PROTOCOL } from '../protocols/chat/protocol.ts';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { openChat } from '../protocols/chat/client.ts';
import type { OpenChat } from '../protocols/chat/client.ts';
import type { Directory } from './directory.ts';
import type { Host } from './host.ts';
import { addressesOfPeer } from './peer-addresses.ts';
import { peerIdOf } from './peer-ids.ts';
import { dropSilent } from './silent-connections.ts';
import type { VerifyOptions } from './silent-connections.ts';

/** Dialling the addresses at hand, before others are asked for newer ones. */
const DIAL_TIMEOUT_MS = 5_000;

/** Finding somebody through the DHT and dialling what was found. */
const DHT_TIMEOUT_MS = 10_000;

/** Opening a stream on a connection that is there. */
const STREAM_TIMEOUT_MS = 10_000;

/** Ways to a peer. */
export interface Reach {
  /**
   * A connection: the one there is, or one dialled at addresses known here, from a phonebook, or from the DHT.
   *
   * @throws Error that says what each of these ways came to, or the signal's reason
   */
  connect(peer: string, options: { signal: AbortSignal }): Promise<Connection>;
  /** A chat stream on it, with the greetings done. */
  openChat(peer: string, options: { signal: AbortSignal }): Promise<OpenChat>;
  /** Asks a peer for a sign of life on each of its connections, and drops those that give none: then it resolves to false. */
  verify(peer: string, options: VerifyOptions): Promise<boolean>;
  /** Remembers addresses of a peer that came from an invite or a phonebook; passes over what does not lead to it. */
  addAddresses(peer: string, addresses: readonly string[]): Promise<void>;
}

export interface ReachInit {
  host: Pick<Host, 'peerId' | 'dial' | 'getConnections' | 'peerRouting' | 'peerStore'>;
  askPhonebooks: Directory['askPhonebooks'];
  decisions: () => ChatDecisions;
  /** A connection was dropped because nothing came over it any more: others may lead nowhere, too. */
  onSilence: () => void;
  log: Logger;
}

export function reach({ host, askPhonebooks, decisions, onSilence, log }: ReachInit): Reach {
  const timed = (signal: AbortSignal, ms: number): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(ms)]);

  const connect: Reach['connect'] = async (peer, { signal }) => {
    signal.throwIfAborted();
    const peerId = peerIdOf(peer);
    const open = host.getConnections(peerId).find(({ status }) => status === 'open');
    if (open !== undefined) return open;
    /** What failed, and at which steps: often one address is all that anybody knows. */
    const reasons = new Map<string, string[]>();
    const attempt = async (
      step: string,
      dial: () => Promise<Connection | undefined>,
    ): Promise<Connection | undefined> => {
      try {
        return await dial();
      } catch (error) {
        signal.throwIfAborted();
        const { message } = error as Error;
        reasons.set(message, [...(reasons.get(message) ?? []), step]);
        log('%s: %s: %s', peer, step, (error as Error).message);
        return undefined;
      }
    };
    const dialAt = async (
      found: readonly Multiaddr[],
      limit: AbortSignal,
    ): Promise<Connection | undefined> => {
      const addresses = addressesOfPeer(found.map(String), peer);
      if (addresses.length === 0) return undefined;
      return host.dial(
        addresses.map((address) => address.encapsulate(`/p2p/${peer}`)),
        { signal: limit },
      );
    };

    const byKnown = await attempt('known addresses', async () => {
      const { addresses } = await host.peerStore.get(peerId).catch(() => ({ addresses: [] }));
      return dialAt(
        addresses.map((address) => address.multiaddr),
        timed(signal, DIAL_TIMEOUT_MS),
      );
    });
    if (byKnown !== undefined) return byKnown;
    const byPhonebook = await attempt('phonebook', async () => {
      const found = await askPhonebooks({ peerId: peer }, { signal });
      return dialAt(addressesOfPeer(found?.multiaddrs ?? [], peer), timed(signal, DIAL_TIMEOUT_MS));
    });
    if (byPhonebook !== undefined) return byPhonebook;
    const byDht = await attempt('DHT', async () => {
      const limit = timed(signal, DHT_TIMEOUT_MS);
      const { multiaddrs } = await host.peerRouting.findPeer(peerId, { signal: limit });
      return dialAt(multiaddrs, limit);
    });
    if (byDht !== undefined) return byDht;
    if (reasons.size === 0) throw new Error('no address is known');
    throw new Error([...reasons].map(([message, steps]) => `${steps.join(', ')}: ${message}`).join('; '));
  };

  const verify: Reach['verify'] = async (peer, options) => {
    const dropped = await dropSilent(host.getConnections(peerIdOf(peer)), options);
    if (dropped === 0) return true;
    log('%s does not answer any more: its connection was dropped', peer);
    onSilence();
    return false;
  };

  return {
    connect,

    async openChat(peer, { signal }) {
      const connection = await connect(peer, { signal });
      const late = AbortSignal.timeout(STREAM_TIMEOUT_MS);
      try {
        const stream = await connection.newStream(CHAT_PROTOCOL, {
          signal: AbortSignal.any([signal, late]),
          runOnLimitedConnection: true,
        });
        return await openChat(stream, peer, decisions(), { signal });
      } catch (error) {
        // Else the next attempt would take the same connection, which leads nowhere.
        if (late.aborted && !signal.aborted) await verify(peer, { signal });
        throw error;
      }
    },

    verify,

    async addAddresses(peer, addresses) {
      const multiaddrs = addressesOfPeer(addresses, peer);
      const peerId = peerIdOf(peer);
      if (multiaddrs.length === 0 || peerId.equals(host.peerId)) return;
      await host.peerStore.merge(peerId, { multiaddrs });
    },
  };
}
