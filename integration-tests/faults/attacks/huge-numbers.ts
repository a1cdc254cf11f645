import { randomBytes } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { FrameSchema } from '../../../protocols/chat/chat_pb.ts';
import type { Frame } from '../../../protocols/chat/chat_pb.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { stranger } from '../../harness/stranger.ts';
import { chatWith, messageFrame } from '../hostile/attack-chat.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const LARGEST = 2n ** 64n - 1n;
const SAFE = Number.MAX_SAFE_INTEGER;
const CHAIN = randomBytes(8);
const HASH = new Uint8Array(32);

const frameOf = (body: object): Uint8Array =>
  toBinary(FrameSchema, create(FrameSchema, { body: body as Frame['body'] & object }));

const ack = (value: object): Uint8Array =>
  frameOf({ case: 'ack', value: { chain: CHAIN, beyond: [], ...value } });

/** Acknowledgements, receipts and refusals of what was never sent, and numbers at every edge. */
const FRAMES: readonly (() => Uint8Array)[] = [
  () => ack({ upTo: 1_000n }),
  () => ack({ upTo: BigInt(SAFE) }),
  () => ack({ upTo: BigInt(SAFE) + 1n }),
  () => ack({ upTo: LARGEST }),
  () => ack({ beyond: [{ first: 2n, last: BigInt(SAFE), hash: HASH }] }),
  () => ack({ beyond: [{ first: LARGEST, last: 1n, hash: HASH }] }),
  () => ack({ chain: randomBytes(8), upTo: 5n, hash: HASH }),
  () => frameOf({ case: 'receipt', value: { chain: CHAIN, readUpTo: BigInt(SAFE), hash: HASH } }),
  () => frameOf({ case: 'receipt', value: { chain: CHAIN, readUpTo: LARGEST, hash: HASH } }),
  () => frameOf({ case: 'refusal', value: { chain: CHAIN, counter: BigInt(SAFE), reason: 1 } }),
  () => frameOf({ case: 'refusal', value: { chain: CHAIN, counter: LARGEST, reason: 4_000_000_000 } }),
  () => messageFrame({ chain: CHAIN, counter: SAFE, previous: HASH }),
  () =>
    messageFrame({
      chain: CHAIN,
      counter: SAFE - 1,
      previous: HASH,
      clockMs: 8.64e15,
      clockCount: 2 ** 32 - 1,
    }),
  () => messageFrame({ chain: CHAIN, clockMs: 8.64e15, sentAtMs: 8.64e15 }),
  () => messageFrame({ chain: CHAIN, counter: 2 ** 52, previous: HASH, sentAtMs: 0, clockMs: 0 }),
];

const AT_A_TIME = 2;

export const attack: Attack = {
  name: 'acks of what was never sent, and huge numbers',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(0), polite: false });
      const stream = await chatWith(peer, multiaddr, options);
      // Some alone, some in one batch with others.
      const first = turn % FRAMES.length;
      const chosen = turn % 3 === 0 ? FRAMES.slice(first) : [FRAMES[first]!];
      stream.send(encodeFrames(chosen.map((make) => make())));
      await new Promise((resolve) => setTimeout(resolve, 20));
      stream.abort(new Error('done'));
    });
  },
};
