import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrames, FrameDecoder } from './frames.ts';

const LIMIT = 20_000;

/** Pushes `bytes` cut at the given places, each chunk in a buffer of its own. */
function pushCut(decoder: FrameDecoder, bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [
    0,
    ...cuts.map((cut) => cut % (bytes.byteLength + 1)).sort((a, b) => a - b),
    bytes.byteLength,
  ];
  return places.slice(1).flatMap((end, i) => decoder.push(bytes.slice(places[i], end)));
}

void test('any chunking of any frames gives the same frames', () => {
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 10 }),
    fc.integer({ min: 100, max: LIMIT }).map((length) => new Uint8Array(length).fill(length)),
    fc.constantFrom(0, 1, 127, 128, 16_383, 16_384).map((length) => new Uint8Array(length).fill(0xff)),
  );
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat(), { maxLength: 40 }), (frames, cuts) => {
      const decoder = new FrameDecoder(LIMIT);
      assert.deepEqual(pushCut(decoder, encodeFrames(frames), cuts), frames);
      assert.equal(decoder.midFrame, false);
    }),
  );
});

void test('byte by byte, also from Buffers', () => {
  const frames = [new Uint8Array(200).fill(1), new Uint8Array(0), new Uint8Array(130).fill(2)];
  const decoder = new FrameDecoder(200);
  const found = [...encodeFrames(frames)].flatMap((byte) => decoder.push(Buffer.of(byte)));
  assert.deepEqual(
    found.map((frame) => new Uint8Array(frame)),
    frames,
  );
});

void test('a frame inside one chunk is a view on it', () => {
  const chunk = encodeFrames([Uint8Array.of(1, 2, 3)]);
  const [frame] = new FrameDecoder(10).push(chunk);
  assert.equal(frame!.buffer, chunk.buffer);
});

void test('what is kept of a chunk does not keep the chunk', () => {
  const chunk = Buffer.from([1, 7, 0x80]);
  const decoder = new FrameDecoder(1000);
  decoder.push(chunk);
  chunk.fill(0xff);
  assert.equal(decoder.push(Uint8Array.of(1))[0], undefined);
  assert.deepEqual(decoder.push(new Uint8Array(128)), [new Uint8Array(128)]);
});

void test('the limit is the largest frame accepted', () => {
  for (const limit of [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const largest = new Uint8Array(limit);
    assert.deepEqual(new FrameDecoder(limit).push(encodeFrames([largest])), [largest]);
    const over = encodeFrames([new Uint8Array(limit + 1)]);
    assert.throws(() => new FrameDecoder(limit).push(over.subarray(0, 4)), {
      name: 'InvalidMessageError',
      message: `frame of ${limit + 1} bytes is over the limit of ${limit}`,
    });
  }
});

void test('a prefix of five bytes is refused as soon as the fourth is there', () => {
  const decoder = new FrameDecoder(LIMIT);
  assert.deepEqual(decoder.push(Uint8Array.of(0x80, 0x80)), []);
  assert.throws(() => decoder.push(Uint8Array.of(0x80, 0x80)), {
    name: 'InvalidMessageError',
    message: 'frame length prefix is over 4 bytes',
  });
  assert.throws(() => new FrameDecoder(2 ** 31).push(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x01)), {
    name: 'InvalidMessageError',
  });
});

void test('a prefix that is longer than it need be counts as what it says', () => {
  assert.deepEqual(new FrameDecoder(10).push(Uint8Array.of(0x81, 0x80, 0x00, 9)), [Uint8Array.of(9)]);
});

void test('midFrame is true from the first byte of a frame until before its last', () => {
  const decoder = new FrameDecoder(LIMIT);
  assert.equal(decoder.midFrame, false);
  const states = [...encodeFrames([new Uint8Array(128)])].map((byte) => {
    decoder.push(Uint8Array.of(byte));
    return decoder.midFrame;
  });
  assert.deepEqual(states, [...Array.from({ length: 129 }, () => true), false]);
});

void test('arbitrary bytes give frames or an InvalidMessageError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(), { maxLength: 10 }), (bytes, cuts) => {
      try {
        for (const frame of pushCut(new FrameDecoder(100), bytes, cuts)) assert.ok(frame.byteLength <= 100);
      } catch (error) {
        assert.equal((error as Error).name, 'InvalidMessageError');
      }
    }),
  );
});

void test('memory follows what has arrived, not what is announced', () => {
  const limit = 512 * 1024;
  const announced = Buffer.concat([encodeFrames([new Uint8Array(limit)]).subarray(0, 3), Uint8Array.of(1)]);
  const decoders = Array.from({ length: 1000 }, () => new FrameDecoder(limit));
  const before = process.memoryUsage().arrayBuffers;
  for (const decoder of decoders) assert.deepEqual(decoder.push(announced), []);
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
  assert.ok(decoders.every(({ midFrame }) => midFrame));
});
