import { once } from 'node:events';
import { connect } from 'node:net';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 100;

/** Connections by the thousand from one host, each dropped once it stands. */
export const attack: Attack = {
  name: 'sockets from one address',
  against: ['daemon', 'bootstrap'],
  async run({ host, port }, options) {
    await crowd(AT_A_TIME, options, async () => {
      const socket = connect({ host, port, localAddress: addressOf(0) });
      try {
        await once(socket, 'connect', options);
      } finally {
        socket.destroy();
      }
    });
  },
};
