import type { CircuitRelayService } from '@libp2p/circuit-relay-v2';
import type { Libp2p } from '@libp2p/interface';

/**
 * A reservation ends with the connection of its peer, as the circuit relay specification says (v2, "Reservation"). js-libp2p keeps it
 * until its TTL runs out, which lets a few hours of comings and goings fill the relay.
 */
export function endReservationsOnDisconnect(node: Libp2p<{ relay: CircuitRelayService }>): void {
  node.addEventListener('peer:disconnect', ({ detail: peerId }) => {
    const { reservations } = node.services.relay;
    // Its timer would otherwise delete a later reservation of the same peer.
    reservations.get(peerId)?.signal.clear();
    reservations.delete(peerId);
  });
}
