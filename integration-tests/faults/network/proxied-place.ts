import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Random } from '../../harness/random.ts';
import type { Place } from '../../harness/town.ts';
import { openProxy } from './proxy.ts';
import type { FaultProxy } from './proxy.ts';

/** Ports that systems don't hand out by themselves, so that nobody's outgoing connection takes one while its program is down. */
const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;

/** Far more than are ever taken. */
const MAX_TRIES = 100;

export interface ProxiedPlace {
  place: Place;
  proxy: FaultProxy;
}

/**
 * A place on loopback that others reach through a proxy only: the program listens on a port of its own, the same after each
 * start, and announces the proxy's.
 *
 * @param init.signal closes the proxy; disposing of it does, too
 */
export async function proxiedPlace({
  label,
  random,
  signal,
}: {
  /** Who is to live there. */
  label: string;
  random: Random;
  signal: AbortSignal;
}): Promise<ProxiedPlace> {
  const targetPort = await unusedPort(label);
  const proxy = await openProxy({ targetHost: '127.0.0.1', targetPort, random, signal });
  return {
    proxy,
    place: {
      prefix: [],
      listen: `/ip4/127.0.0.1/tcp/${targetPort}`,
      announce: `/ip4/${proxy.host}/tcp/${proxy.port}`,
      httpHost: '127.0.0.1',
    },
  };
}

/** A port that nothing listens on now. Not drawn from the seed: runs with one seed may go on side by side. */
async function unusedPort(label: string): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const server = createServer();
    const listening = once(server, 'listening').then(
      () => true,
      () => false,
    );
    server.listen(port, '127.0.0.1');
    if (!(await listening)) continue;
    await new Promise((done) => server.close(done));
    return port;
  }
  throw new Error(`no port is free for ${label}`);
}
