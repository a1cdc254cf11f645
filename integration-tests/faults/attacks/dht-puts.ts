import { sealCard } from '../../../protocols/contact-card/card.ts';
import { cardKey } from '../../../protocols/dht/records.ts';
import { DHT_PROTOCOL } from '../../../protocols/dht/service.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { stranger } from '../../harness/stranger.ts';
import type { Stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 16;
const DAY_MS = 86_400_000;

/** A protobuf field of bytes. */
function field(number: number, value: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = value.byteLength; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Uint8Array.of((number << 3) | 2), Uint8Array.from(length), value]);
}

/** A `PUT_VALUE` of kad-dht: type 0 is left out, as proto3 wants it. */
function put(key: Uint8Array, value: Uint8Array): Uint8Array {
  return Buffer.concat([field(2, key), field(3, Buffer.concat([field(1, key), field(2, value)]))]);
}

/** Records for the DHT: of peers made up for it, and forged, expired, oversize and misplaced ones. */
export const attack: Attack = {
  name: 'DHT records forged, expired, oversize and endless',
  against: ['daemon', 'bootstrap'],
  async run({ multiaddr }, options) {
    await using stack = new AsyncDisposableStack();
    const peers: Stranger[] = [];
    for (let number = 0; number < 4; number++)
      peers.push(stack.use(await stranger({ ...options, from: addressOf(number), polite: false })));
    await crowd(AT_A_TIME, options, async (turn) => {
      const owner = await generateKeyPair('Ed25519');
      const peerId = owner.publicKey.toString();
      const expiresMs = Date.now() + (turn % 5 === 1 ? -DAY_MS : DAY_MS);
      const card = await sealCard(owner, { peerId, mailboxes: [], seq: 1, expiresMs });
      const key = cardKey(turn % 5 === 2 ? peers[0]!.peerId : peerId);
      const value = Buffer.from(card);
      if (turn % 5 === 3) value[value.length - 1]! ^= 1;
      const sent = turn % 5 === 4 ? Buffer.concat([value, Buffer.alloc(100_000)]) : value;
      const stream = await peers[turn % peers.length]!.open(multiaddr, DHT_PROTOCOL);
      stream.addEventListener('message', () => options.count('taken'));
      stream.send(encodeFrames([put(key, sent)]));
      await stream.close();
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, 1_000);
        stream.addEventListener('close', () => {
          clearTimeout(late);
          resolve();
        });
      });
      stream.abort(new Error('done'));
    });
  },
};
