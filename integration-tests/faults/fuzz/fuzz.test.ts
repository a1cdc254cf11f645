import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkDecoder } from './fuzz-check.ts';
import { fuzzDecoder } from './fuzz-decoder.ts';
import { changeField, readFields } from './fuzz-fields.ts';
import { mutate, recipes, textFrom } from './fuzz-mutation.ts';
import { allDecoders, allSubjects } from './fuzz-subjects.ts';
import { describe, fuzz } from './fuzz.ts';
import type { Decoder } from '../subject.ts';

/** For each decoder, or what it gets through in its share of the time: the machine may be busy. */
const INPUTS = 2000;
const MINUTES = 0.12;

const decoder = (decode: Decoder['decode'], more: Partial<Decoder> = {}): Decoder => ({
  name: 'made up',
  decode,
  refusals: ['SyntaxError'],
  samples: () => [Uint8Array.of(1, 2, 3)],
  ...more,
});

void test('every decoder takes or refuses whatever it is given', async ({ signal }) => {
  const seed = randomInt(2 ** 31);
  const { decoders } = await fuzz({ seed, inputs: INPUTS, minutes: MINUTES, signal, log: () => undefined });
  const failed = decoders.filter(({ failure }) => failure !== null);
  assert.equal(failed.length, 0, `seed ${seed}\n${failed.map(describe).join('\n')}`);
  console.log(`fuzzed ${decoders.length} decoders, seed ${seed}`);
});

void test('decoders and floods have names of their own, and floods can be had again', async () => {
  const names = (await allDecoders()).map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { floods = [] } of await allSubjects()) {
    assert.equal(new Set(floods.map(({ name }) => name)).size, floods.length);
    for (const { request } of floods) assert.ok(request(() => 0.5).byteLength > 0);
  }
});

void test('the same seed gives the same inputs, and a path leads to one of them', async () => {
  const seen: string[] = [];
  const failing = decoder((bytes) => {
    seen.push(Buffer.from(bytes).toString('hex'));
    if (bytes.byteLength > 20) throw new TypeError('too long');
    return bytes;
  });
  const first = await fuzzDecoder(failing, { seed: 7, inputs: 1000 });
  const all = seen.splice(0);
  const again = await fuzzDecoder(failing, { seed: 7, inputs: 1000 });
  assert.equal(again.failure?.path, first.failure?.path);
  assert.deepEqual(seen.splice(0), all);
  const { path, input } = first.failure!;
  // As small as can be: one byte over what is taken.
  assert.equal(input.length, 2 * 21);
  await fuzzDecoder(failing, { seed: 7, inputs: 1000, path });
  assert.equal(seen[0], input);
});

void test('what no decoder may do is found', async () => {
  const input = Uint8Array.of(1);
  const fault = { name: 'DecoderFault' };
  const badly: Decoder['decode'] = () => {
    throw new TypeError('a fault of ours');
  };
  await assert.rejects(checkDecoder(decoder(badly), input), fault);
  await assert.rejects(
    checkDecoder(
      decoder(() => new Uint8Array(8 * 1024 * 1024)),
      input,
    ),
    fault,
  );
  await assert.rejects(
    checkDecoder(
      decoder(() => Array.from({ length: 1e6 }, () => ({}))),
      input,
    ),
    fault,
  );
  const lossy = decoder((bytes) => [...bytes], { encode: () => Uint8Array.of(7) });
  await assert.rejects(checkDecoder(lossy, input), fault);
  const slow = decoder(() => {
    const { user: begun } = process.threadCpuUsage();
    while (process.threadCpuUsage().user - begun < 10_000) Math.sqrt(2);
    return true;
  });
  await assert.rejects(checkDecoder(slow, input, 5), fault);
});

void test('a forgery that is accepted is found, and so is a refusal that changes something', async () => {
  const taking = decoder((bytes) => bytes.slice(), { forged: () => [Uint8Array.of(9)] });
  const { failure } = await fuzzDecoder(taking, { seed: 1, inputs: 10 });
  assert.match(failure!.why, /a forgery is accepted/);
  assert.equal(failure!.input, '09');

  const kept = Uint8Array.of(1);
  const leaky = decoder(
    () => {
      kept.fill(0);
      throw new SyntaxError('no');
    },
    { state: () => kept.slice() },
  );
  await assert.rejects(checkDecoder(leaky, Uint8Array.of(1)), { name: 'DecoderFault' });
  assert.deepEqual(await checkDecoder(leaky, Uint8Array.of(1)), { refusedAs: 'SyntaxError' });
});

void test('what is refused by name is no fault, and what is accepted is counted', async () => {
  const json = decoder((bytes) => JSON.parse(textFrom(bytes)) as unknown, {
    samples: () => [Buffer.from('{"a":[1,"ß"]}')],
  });
  const { failure, accepted, refused, inputs } = await fuzzDecoder(json, { seed: 1, inputs: 500 });
  assert.equal(failure, null);
  assert.ok(accepted > 0 && refused['SyntaxError']! > 0);
  assert.equal(accepted + refused['SyntaxError']!, inputs);
});

void test('a field is changed within a message, and the lengths around it stay right', () => {
  // {1: {1: 5, 2: "ab"}, 2: 7}
  const message = Uint8Array.from(Buffer.from('0a060805120261621007', 'hex'));
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.nat(), (where, what, how) => {
      assert.notEqual(
        readFields(changeField(message, [where, what, how], () => Uint8Array.of(8, 1))),
        undefined,
      );
    }),
  );
});

void test('halves of surrogate pairs can be written', () => {
  assert.equal(textFrom(Uint8Array.of(0x61, 0xed, 0xa0, 0xbe, 0x62)), 'a\ud83eb');
  const units = fc.array(fc.nat(0xffff));
  fc.assert(
    fc.property(units, (given) => {
      const text = String.fromCharCode(...given);
      assert.equal(textFrom(Buffer.from(text)), text.toWellFormed());
    }),
  );
});

void test('an input is made of samples in the same way each time, and is bounded', () => {
  const samples = [Uint8Array.of(8, 1), new Uint8Array(1000)];
  fc.assert(
    fc.property(recipes, (recipe) => {
      const input = mutate(samples, recipe);
      assert.deepEqual(mutate(samples, recipe), input);
      assert.ok(input.byteLength <= 600 * 1024);
    }),
  );
});
