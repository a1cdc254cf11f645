import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

/** Beyond the connections that the API takes. */
const AT_A_TIME = 300;

/** Clients of the daemon's API that ask for its events and never read them. They are its own user's programs: broken ones. */
export const attack: Attack = {
  name: 'events asked for and not read',
  against: ['daemon'],
  async run({ dataDir }, options) {
    const sockets = new Set<Socket>();
    options.signal.addEventListener('abort', () => {
      for (const socket of sockets) socket.destroy();
    });
    await crowd(AT_A_TIME, options, async () => {
      const socket = connect(join(dataDir, 'control.sock'));
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      options.count('asked');
      await new Promise((resolve) => socket.on('close', resolve));
      sockets.delete(socket);
    });
  },
};
