import type { Stream } from '@libp2p/interface';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { stranger } from '../../harness/stranger.ts';
import type { Stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from './attack.ts';
import type { Attack, AttackOptions, AttackTarget } from './attack.ts';
import type { Subject } from '../subject.ts';

/** Streams kept open that say no more than a byte. Beyond what a connection may have, so that the bound is met. */
const SLOW_STREAMS = 300;

/** Connections that an attack on a protocol comes over, each from another address. */
const CONNECTIONS = 4;

/** Streams in use at a time on one of them. */
const AT_A_TIME = 16;

/** Requests written in one go. */
const BURST = 64;

/** A stream whose far end says nothing is left after this long. */
const PATIENCE_MS = 1_000;

/** More than any frame may be: its length alone is enough to refuse it. 2 GiB as a varint. */
const OVERSIZE = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x08);

type Play = (stream: Stream, options: AttackOptions) => Promise<void> | void;

async function ended(stream: Stream): Promise<void> {
  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, PATIENCE_MS);
    stream.addEventListener('close', () => {
      clearTimeout(late);
      resolve();
    });
    if (stream.status !== 'open') resolve();
  });
}

/** Opens streams of a protocol without end, and does the same on each. */
function onStreams(protocol: string, play: Play): Attack['run'] {
  return async (target, options) => {
    await using stack = new AsyncDisposableStack();
    const peers: Stranger[] = [];
    for (let number = 0; number < CONNECTIONS; number++)
      peers.push(stack.use(await stranger({ ...options, from: addressOf(number), polite: false })));
    await crowd(CONNECTIONS * AT_A_TIME, options, async (turn) => {
      const stream = await peers[turn % CONNECTIONS]!.open(target.multiaddr, protocol);
      stream.addEventListener('message', () => options.count('answers'));
      try {
        await play(stream, options);
      } finally {
        stream.abort(new Error('done'));
      }
    });
  };
}

/** Streams that begin a frame and go on at a byte a second. */
async function slow(protocol: string, target: AttackTarget, options: AttackOptions): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const peers: Stranger[] = [];
  for (let number = 0; number < CONNECTIONS; number++)
    peers.push(stack.use(await stranger({ ...options, from: addressOf(number), polite: false })));
  await crowd(SLOW_STREAMS, options, async (turn) => {
    const stream = await peers[turn % CONNECTIONS]!.open(target.multiaddr, protocol);
    const trickle = setInterval(() => {
      if (stream.status === 'open') stream.send(Uint8Array.of(turn === 0 ? 100 : 10));
    }, 1_000);
    try {
      stream.send(Uint8Array.of(0x80));
      await new Promise<void>((resolve) => {
        stream.addEventListener('close', () => resolve());
        options.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      clearInterval(trickle);
      stream.abort(new Error('done'));
    }
  });
}

const bytes = (length: number, { random }: AttackOptions): Uint8Array =>
  Uint8Array.from({ length }, () => random() * 256);

/** What every protocol is open to, made from what a subject says of itself. */
export function subjectAttacks(subject: Subject): Attack[] {
  return (subject.served ?? []).flatMap(({ by, protocol }): Attack[] => {
    const attack = (name: string, run: Attack['run']): Attack => ({
      name: `${protocol}: ${name}`,
      against: [by],
      run,
    });
    let samples: Promise<Uint8Array[]> | undefined;
    /** Any message of the subject, of whichever side. */
    const sample = async ({ random }: AttackOptions): Promise<Uint8Array> => {
      samples ??= Promise.all(subject.decoders.map(async (decoder) => decoder.samples())).then((all) =>
        all.flat(),
      );
      const known = await samples;
      return known[Math.floor(random() * known.length)] ?? new Uint8Array(1);
    };
    return [
      attack(
        'garbage',
        onStreams(protocol, async (stream, options) => {
          stream.send(encodeFrames([bytes(1 + Math.floor(options.random() * 2_000), options)]));
          await ended(stream);
        }),
      ),
      attack(
        'damaged messages',
        onStreams(protocol, async (stream, options) => {
          const damaged = Uint8Array.from(await sample(options));
          damaged[Math.floor(options.random() * damaged.length)]! ^= 1 << Math.floor(options.random() * 8);
          stream.send(encodeFrames([damaged]));
          await ended(stream);
        }),
      ),
      attack(
        'truncated frames',
        onStreams(protocol, async (stream, options) => {
          const whole = encodeFrames([await sample(options)]);
          stream.send(whole.subarray(0, Math.max(1, Math.floor(options.random() * whole.length))));
          await stream.close();
          await ended(stream);
        }),
      ),
      attack(
        'oversize frames',
        onStreams(protocol, async (stream) => {
          stream.send(OVERSIZE);
          await ended(stream);
        }),
      ),
      attack('slow frames', (target, options) => slow(protocol, target, options)),
      attack(
        'streams opened and abandoned',
        onStreams(protocol, () => undefined),
      ),
      ...(subject.floods ?? []).map(({ name, request }) =>
        attack(
          `a flood of ${name}`,
          onStreams(protocol, async (stream, options) => {
            while (stream.status === 'open' && !options.signal.aborted) {
              let full = false;
              for (let sent = 0; sent < BURST && !full; sent++) {
                full = !stream.send(request(options.random));
                options.count('requests');
              }
              // A target that reads no more is left alone for a moment: then there is nothing to be had by waiting.
              await new Promise((resolve) => setTimeout(resolve, full ? 20 : 1));
            }
          }),
        ),
      ),
    ];
  });
}
