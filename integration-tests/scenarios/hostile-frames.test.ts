import assert from 'node:assert/strict';
import type { Stream } from '@libp2p/interface';
import { CHAT_PROTOCOL } from '../../protocols/chat/protocol.ts';
import { DHT_PROTOCOL } from '../../protocols/dht/service.ts';
import { MAILBOX_PROTOCOL } from '../../protocols/mailbox/protocol.ts';
import { PHONEBOOK_PROTOCOL } from '../../protocols/phonebook/protocol.ts';
import { RENDEZVOUS_PROTOCOL } from '../../protocols/rendezvous/protocol.ts';
import { randomFrom } from '../harness/random.ts';
import { scenario } from '../harness/scenario.ts';
import { reaction, stranger } from '../harness/stranger.ts';
import { metric } from '../harness/metrics.ts';

/** A reaction has to come within this time; the machine may be busy. */
const REACTION_MS = 15_000;

/** Streams of random bytes for each protocol. */
const RANDOM_STREAMS = 20;

/** More than any frame may be: its length alone is enough to refuse it. 2 GiB as a varint. */
const OVERSIZE = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x08);

/** A frame of ten bytes that is no protobuf: a field with wire type 7. */
const GARBAGE = Uint8Array.of(10, ...Array.from({ length: 10 }, () => 0xff));

/** The beginning of a frame of 100 bytes. */
const TRUNCATED = Uint8Array.of(100, 0x0a, 0x03, 1, 2, 3);

/** A length that never ends. */
const ENDLESS_LENGTH = Uint8Array.from({ length: 64 }, () => 0x80);

async function reactsTo(stream: Stream, what: string): Promise<void> {
  const late = AbortSignal.timeout(REACTION_MS);
  await new Promise<void>((resolve, reject) => {
    late.addEventListener('abort', () => reject(new Error(`nothing was done about ${what}`)));
    void reaction(stream).then(() => resolve());
  });
}

scenario('bad frames on every protocol hurt nobody but their sender', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await ada.knows('ben');
  const said: string[] = [];
  const chat = async (text: string): Promise<void> => {
    said.push(text);
    await ada.send('ben', text, 'delivered');
  };
  await chat('before');

  await using mallory = await stranger({ signal });
  const daemonAddress = ben.program.ready.multiaddrs[0]!;
  const targets = [
    [daemonAddress, CHAT_PROTOCOL],
    [daemonAddress, DHT_PROTOCOL],
    [phonebook.multiaddr, RENDEZVOUS_PROTOCOL],
    [phonebook.multiaddr, PHONEBOOK_PROTOCOL],
    [phonebook.multiaddr, MAILBOX_PROTOCOL],
    [phonebook.multiaddr, DHT_PROTOCOL],
  ] as const;

  const random = randomFrom(20_261_120);
  const held: Stream[] = [];
  const attack = async (address: string, protocol: string): Promise<void> => {
    const attempts = [
      [GARBAGE, 'garbage'],
      [OVERSIZE, 'an oversize frame'],
      [ENDLESS_LENGTH, 'a length without an end'],
      [TRUNCATED, 'a truncated frame'],
    ] as const;
    await Promise.all(
      attempts.map(async ([bytes, what]) => {
        const stream = await mallory.open(address, protocol);
        const reacted = reactsTo(stream, `${what} on ${protocol}`);
        stream.send(bytes);
        if (bytes === TRUNCATED) await stream.close({ signal });
        await reacted;
        stream.abort(new Error('done'));
      }),
    );
    for (let count = 0; count < RANDOM_STREAMS; count++) {
      const stream = await mallory.open(address, protocol);
      stream.send(Uint8Array.from({ length: 1 + Math.floor(random() * 2000) }, () => random() * 256));
      stream.abort(new Error('done'));
    }
    // One that says a byte and no more stays open to the end.
    const slow = await mallory.open(address, protocol);
    slow.send(TRUNCATED.subarray(0, 1));
    held.push(slow);
    await chat(`after ${protocol} at ${address}`);
  };
  await Promise.all(targets.map(([address, protocol]) => attack(address, protocol)));

  assert.deepEqual((await ben.texts(said.length)).toSorted(), said.toSorted());
  assert.equal((await fetch(`${phonebook.program.ready.http}/ready`, { signal })).status, 200);
  assert.equal(await metric(phonebook, 'tincan_names'), 2);
  assert.equal(await metric(phonebook, 'tincan_mailbox_blobs'), 0);
  const { warnings } = await ben.client.call('status', {}, { signal });
  assert.deepEqual(warnings, []);
  for (const stream of held) stream.abort(new Error('done'));
});
