import { StreamState, YamuxStream } from '@chainsafe/libp2p-yamux/stream';

/** Set to 1 to leave yamux as its package has it. */
const STOCK_SWITCH = 'TINCAN_STOCK_MUXER';

/** What a stream keeps to itself: the size of its window, and how much of it the other side may still send. */
interface ReceiveWindow {
  recvWindow: number;
  recvWindowCapacity: number;
}

let economised = false;

/**
 * Makes yamux streams of this process tell the other side of a larger window only when half of it is used up, as
 * Hashicorp's and Go's yamux do. `@chainsafe/libp2p-yamux` 8.0.1 answers every data frame with an update: for a small
 * message that is a second encryption and a second socket write at each end. Any yamux understands either.
 *
 * This reaches into the package, whose version is pinned; `TINCAN_STOCK_MUXER=1` in the environment leaves it alone.
 * The figures are in docs/adr/0008-yamux-window-updates.md.
 */
export function economiseWindowUpdates(): void {
  if (economised || process.env[STOCK_SWITCH] === '1') return;
  economised = true;
  const stock = Object.getOwnPropertyDescriptor(YamuxStream.prototype, 'sendWindowUpdate')!
    .value as () => void;
  YamuxStream.prototype.sendWindowUpdate = function sendWindowUpdate(this: YamuxStream): void {
    const { recvWindow, recvWindowCapacity } = this as unknown as ReceiveWindow;
    // A stream that is still being opened has flags to send along; a paused one has its own reason to hold back.
    if (this.state === StreamState.Established && recvWindowCapacity > recvWindow / 2) return;
    stock.call(this);
  };
}
