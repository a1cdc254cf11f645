import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Place } from './town.ts';

/** Somebody on the way to a program, who lets everything pass and keeps a copy. */
export interface Wiretap extends AsyncDisposable {
  /** A place on loopback that others reach through here only. */
  place: Place;
  /** All bytes of all connections, both ways. */
  heard(): Buffer;
}

/** The program has the same port at another of loopback's addresses. */
const BEHIND = '127.0.0.2';

export async function wiretap(): Promise<Wiretap> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const carry = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => undefined);
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    from.pipe(to);
  };
  const server = createServer((near) => {
    const far = connect({ host: BEHIND, port });
    carry(near, far);
    carry(far, near);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    place: {
      prefix: [],
      listen: `/ip4/${BEHIND}/tcp/${port}`,
      announce: `/ip4/127.0.0.1/tcp/${port}`,
      httpHost: '127.0.0.1',
    },
    heard: () => Buffer.concat(chunks),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
