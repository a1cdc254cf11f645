import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { streamPair } from '@libp2p/utils';
import fc from 'fast-check';
import { encodeFrames } from '../framing/frames.ts';
import { checkDhtMessage, DHT_MESSAGE_LIMITS, guardStream } from './message-guard.ts';

const GET_VALUE = 1;

const bytes = (field: number, value: Uint8Array): Uint8Array =>
  new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(value).finish();

const type = (number: number): Uint8Array =>
  new BinaryWriter().tag(1, WireType.Varint).int32(number).finish();

/** A message, as its fields one behind the other. */
const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields);

const peer = (length: number): Uint8Array => bytes(8, bytes(1, new Uint8Array(length)));

const { maxKeyBytes, maxPeerIdBytes, maxPeers } = DHT_MESSAGE_LIMITS;

void test('messages within the limits pass, those over one are refused', () => {
  const refused = { name: 'InvalidMessageError' };
  const key = (length: number): Uint8Array => message(type(GET_VALUE), bytes(2, new Uint8Array(length)));
  checkDhtMessage(key(maxKeyBytes));
  assert.throws(() => checkDhtMessage(key(maxKeyBytes + 1)), refused);
  checkDhtMessage(message(type(GET_VALUE), peer(maxPeerIdBytes)));
  assert.throws(() => checkDhtMessage(message(type(GET_VALUE), peer(maxPeerIdBytes + 1))), refused);
  const peers = Array.from({ length: maxPeers }, () => peer(38));
  checkDhtMessage(message(...peers));
  assert.throws(() => checkDhtMessage(message(...peers, peer(38))), refused);
});

void test('who provides what is nobody asked, and nobody told', () => {
  for (const number of [2, 3])
    assert.throws(() => checkDhtMessage(type(number)), { message: 'this DHT keeps no providers' });
  // The last one counts, so none may stand before it.
  assert.throws(() => checkDhtMessage(message(type(2), type(GET_VALUE))));
});

void test('what kad-dht would read as something else is refused', () => {
  const refused = { name: 'InvalidMessageError', message: /wire type/ };
  // The type written as bytes of length 2, which kad-dht takes for the type 2; a group; a peer id as a number.
  assert.throws(() => checkDhtMessage(Uint8Array.of(0x0a, 2, 0, 0)), refused);
  assert.throws(() => checkDhtMessage(Uint8Array.of(0x7b, 0x7c)), refused);
  assert.throws(() => checkDhtMessage(bytes(8, Uint8Array.of(8, 1))), refused);
});

void test('whatever the bytes, they pass or are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      try {
        checkDhtMessage(noise);
      } catch (error) {
        assert.equal((error as Error).name, 'InvalidMessageError');
      }
    }),
  );
});

void test('the reader of a stream sees what passes, and never what does not', async () => {
  const [near, far] = await streamPair();
  const seen: number[] = [];
  guardStream(far, 1000);
  far.addEventListener('message', (event) => seen.push(event.data.byteLength));
  const good = encodeFrames([type(GET_VALUE)]);
  near.send(good);
  await once(far, 'message');
  const closed = once(far, 'close');
  near.send(encodeFrames([type(2)]));
  await closed;
  assert.deepEqual(seen, [good.byteLength]);
  assert.equal(far.status, 'aborted');
});

void test('a message over the limit ends the stream with its first bytes', async () => {
  const [near, far] = await streamPair();
  guardStream(far, 1000);
  const closed = once(far, 'close');
  near.send(encodeFrames([new Uint8Array(1001)]).subarray(0, 3));
  await closed;
  assert.equal(far.status, 'aborted');
});
