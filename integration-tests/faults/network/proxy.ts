import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Random } from '../../harness/random.ts';
import { courier } from './courier.ts';
import type { Courier, Mangling } from './courier.ts';

/** How a proxy treats what it forwards. */
export interface Weather {
  /** Each chunk is this late. */
  delayMs: number;
  /** Up to this much more, drawn anew for each chunk; the order of a direction is kept. */
  jitterMs: number;
  /** A direction in which nothing moves; the connection stays open. `in` is towards the program. */
  stalled: 'in' | 'out' | 'both' | null;
  /** New connections are reset as soon as they are made. The port stays taken, so that nobody else gets it. */
  refusing: boolean;
}

/** How a connection is cut: with a reset, or as if the program had closed it in the middle of a frame. */
export type CutHow = 'reset' | 'closed';

/** Stands before a program's listening port: who wants to reach it comes through here. */
export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Connections open now. */
  readonly connections: number;
  /** Sends new connections to this port from now on. */
  aim(targetPort: number): void;
  weather(weather: Partial<Weather>): void;
  /** Cuts all open connections after this many more bytes each, both directions together, in the middle of whatever is under way. */
  cut(afterBytes: number, how?: CutHow): void;
  /**
   * Breaks the next chunk of all open connections, whichever direction has one first: it is lost, comes twice, has its
   * halves swapped, or has a bit flipped.
   */
  mangle(how: Mangling): void;
  /** Fair weather; what was to be cut or mangled and has not been is let be. */
  heal(): void;
}

export interface ProxyInit {
  /** Where it listens; default loopback. */
  host?: string;
  targetHost: string;
  /** 0 until it is known: `aim` sets it. Connections are refused until then. */
  targetPort: number;
  random: Random;
  /** Closes it. */
  signal: AbortSignal;
}

const FAIR: Weather = { delayMs: 0, jitterMs: 0, stalled: null, refusing: false };

interface Link {
  near: Socket;
  far: Socket;
  /** Towards the program, and back. */
  couriers: readonly [inward: Courier, outward: Courier];
  /** Bytes that it may still forward. */
  left: number;
  cutHow: CutHow;
  mangling: Mangling | undefined;
}

/** Opens a proxy on a free port. Disposing of it, or the signal, resets all that goes through it. */
export async function openProxy(init: ProxyInit): Promise<FaultProxy> {
  const { host = '127.0.0.1', targetHost, random, signal } = init;
  let { targetPort } = init;
  let now = FAIR;
  const links = new Set<Link>();
  /** Also those that are only waiting for the other end to close. */
  const sockets = new Set<Socket>();

  const stalls = (direction: 'in' | 'out'): boolean => now.stalled === 'both' || now.stalled === direction;

  const cutLink = (link: Link): void => {
    links.delete(link);
    for (const one of link.couriers) one.stop();
    for (const socket of [link.near, link.far]) {
      if (link.cutHow === 'reset') socket.resetAndDestroy();
      else {
        // Reads on, into nothing: unread bytes would turn the end into a reset.
        socket.on('data', () => undefined).resume();
        socket.end();
      }
    }
  };

  const join = (near: Socket): void => {
    if (now.refusing || targetPort === 0) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ host: targetHost, port: targetPort, allowHalfOpen: true, noDelay: true });
    const carry = (from: Socket, to: Socket, direction: 'in' | 'out'): Courier =>
      courier(from, to, {
        lateMs: () => now.delayMs + now.jitterMs * random(),
        stalled: () => stalls(direction),
        mangling() {
          const how = link.mangling;
          link.mangling = undefined;
          return how;
        },
        random,
        allow(bytes) {
          const allowed = Math.min(bytes, link.left);
          link.left -= allowed;
          return allowed;
        },
        onSpent: () => cutLink(link),
      });
    const link: Link = {
      near,
      far,
      couriers: [carry(near, far, 'in'), carry(far, near, 'out')],
      left: Infinity,
      cutHow: 'reset',
      mangling: undefined,
    };
    links.add(link);
    for (const socket of [near, far]) {
      sockets.add(socket);
      // Whatever goes wrong with it, it closes.
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    const over = (gone: Socket, other: Socket) => (): void => {
      if (!links.has(link)) return;
      const wellEnded = gone.readableEnded && gone.writableFinished;
      // The rest of what it said may still be on its way.
      if (wellEnded && !other.destroyed) return;
      other.resetAndDestroy();
      links.delete(link);
      for (const one of link.couriers) one.stop();
    };
    near.on('close', over(near, far));
    far.on('close', over(far, near));
  };

  const server = createServer({ allowHalfOpen: true, noDelay: true }, join);
  await listen(server, host, signal);
  const { port } = server.address() as AddressInfo;

  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    for (const socket of sockets) socket.resetAndDestroy();
    if (server.listening) await new Promise((done) => server.close(done));
  };
  const onAbort = (): void => void close();
  signal.addEventListener('abort', onAbort, { once: true });

  const look = (): void => {
    for (const { couriers } of links) for (const one of couriers) one.look();
  };
  return {
    host,
    port,
    get connections() {
      return links.size;
    },
    aim(port) {
      targetPort = port;
    },
    weather(weather) {
      now = { ...now, ...weather };
      look();
    },
    cut(afterBytes, how = 'reset') {
      for (const link of links) {
        link.cutHow = how;
        link.left = afterBytes;
        if (afterBytes === 0) cutLink(link);
      }
    },
    mangle(how) {
      for (const link of links) link.mangling = how;
    },
    heal() {
      now = FAIR;
      for (const link of links) {
        link.left = Infinity;
        link.mangling = undefined;
      }
      look();
    },
    [Symbol.asyncDispose]: close,
  };
}

async function listen(server: Server, host: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
}
