import type { Libp2p } from '@libp2p/interface';
import { addressGroup } from '../protocols/transport/address-group.ts';

/** The address group that a connected peer comes from, by its peer id in base58; undefined for one that is not there. */
export type GroupOf = (peerId: string) => string | undefined;

/** Keeps track of where peers come from: of several connections the latest counts. */
export function peerGroups(host: Pick<Libp2p, 'addEventListener'>): GroupOf {
  const groups = new Map<string, string>();
  host.addEventListener('connection:open', ({ detail: { remotePeer, remoteAddr } }) => {
    groups.set(remotePeer.toString(), addressGroup(remoteAddr));
  });
  host.addEventListener('peer:disconnect', ({ detail }) => {
    groups.delete(detail.toString());
  });
  return (peerId) => groups.get(peerId);
}
