import type { Socket } from 'node:net';
import type { Random } from '../../harness/random.ts';

/** What can become of a chunk. */
export const MANGLINGS = ['lost', 'doubled', 'swapped', 'flipped'] as const;

export type Mangling = (typeof MANGLINGS)[number];

/** Bytes of one direction that may wait here; beyond that the sender is made to wait, as a full network does. */
const MAX_WAITING_BYTES = 256 * 1024;

/** Carries bytes one way, in order. */
export interface Courier {
  /** The weather has changed. */
  look(): void;
  stop(): void;
}

export interface CourierInit {
  /** How late the chunk that has just come is to be. */
  lateMs: () => number;
  stalled: () => boolean;
  /** What is to be done to the chunk that has just come, if anything. */
  mangling: () => Mangling | undefined;
  random: Random;
  /** How many of so many bytes may still be forwarded, and takes them off the account. */
  allow: (bytes: number) => number;
  /** The account is empty: the connection is to be cut here. */
  onSpent: () => void;
}

/** `undefined` is the end of what the other end sends. */
interface Waiting {
  chunk: Buffer | undefined;
  dueMs: number;
}

/** Reads from one socket and writes to another, late or broken as `init` says. */
export function courier(from: Socket, to: Socket, init: CourierInit): Courier {
  let queue: Waiting[] = [];
  let waitingBytes = 0;
  let lastDueMs = 0;
  let full = false;
  let over = false;
  let timer: NodeJS.Timeout | undefined;

  const put = (chunk: Buffer | undefined): void => {
    lastDueMs = Math.max(lastDueMs, performance.now() + init.lateMs());
    queue.push({ chunk, dueMs: lastDueMs });
    waitingBytes += chunk?.byteLength ?? 0;
  };

  const forward = (chunk: Buffer): void => {
    const allowed = init.allow(chunk.byteLength);
    if (allowed < chunk.byteLength) {
      // What came before the cut arrives; a reset would throw away what is still on its way.
      to.write(chunk.subarray(0, allowed), () => init.onSpent());
      over = true;
      return;
    }
    full = !to.write(chunk);
  };

  const look = (): void => {
    clearTimeout(timer);
    timer = undefined;
    while (!over && !full && !init.stalled() && !to.destroyed) {
      const [next] = queue;
      if (next === undefined) break;
      const restMs = next.dueMs - performance.now();
      if (restMs > 0) {
        timer = setTimeout(look, restMs);
        break;
      }
      queue.shift();
      if (next.chunk === undefined) to.end();
      else {
        waitingBytes -= next.chunk.byteLength;
        forward(next.chunk);
      }
    }
    if (waitingBytes > MAX_WAITING_BYTES) from.pause();
    else if (from.isPaused()) from.resume();
  };

  from.on('data', (chunk: Buffer) => {
    if (over) return;
    for (const piece of mangled(chunk, init.mangling(), init.random)) put(piece);
    look();
  });
  from.on('end', () => {
    if (over) return;
    put(undefined);
    look();
  });
  to.on('drain', () => {
    full = false;
    look();
  });

  return {
    look,
    stop() {
      over = true;
      clearTimeout(timer);
      queue = [];
      waitingBytes = 0;
    },
  };
}

/** A chunk as it comes out of a network that breaks it. */
export function mangled(chunk: Buffer, how: Mangling | undefined, random: Random): Buffer[] {
  switch (how) {
    case undefined:
      return [chunk];
    case 'lost':
      return [];
    case 'doubled':
      return [chunk, chunk];
    case 'swapped': {
      const middle = chunk.byteLength >> 1;
      return [chunk.subarray(middle), chunk.subarray(0, middle)];
    }
    case 'flipped': {
      const broken = Buffer.from(chunk);
      const at = Math.floor(random() * broken.byteLength);
      broken[at] = broken[at]! ^ (1 << Math.floor(random() * 8));
      return [broken];
    }
  }
}
