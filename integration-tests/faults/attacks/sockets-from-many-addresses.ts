import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 200;

/** Each holds its place for so long. */
const HELD_MS = 200;

/** Connections by the thousand, no two from one address, that begin a handshake with nonsense. */
export const attack: Attack = {
  name: 'sockets from many addresses',
  against: ['daemon', 'bootstrap'],
  async run({ host, port }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      const socket = connect({ host, port, localAddress: addressOf(turn) });
      try {
        await once(socket, 'connect', options);
        socket.resume().write('GET / HTTP/1.1\r\n\r\n');
        await delay(HELD_MS, undefined, options);
      } finally {
        socket.destroy();
      }
    });
  },
};
