import assert from 'node:assert/strict';
import { randomFrom } from '../../harness/random.ts';
import { scenario } from '../../harness/scenario.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Town } from '../../harness/town.ts';
import { MANGLINGS } from './courier.ts';
import { proxiedPlace } from './proxied-place.ts';
import type { FaultProxy } from './proxy.ts';
import { timed } from './timed.ts';

/** As long as a message may be, or nearly: it is on its way in many pieces. */
const LONG = 'x'.repeat(48_000);

interface Pair {
  ada: Daemon;
  ben: Daemon;
  /** What Ada has to go through to reach Ben. */
  proxy: FaultProxy;
  /** Messages that Ada has sent to Ben, in order, and what Ben has of them by the end. */
  sent: string[];
  say(text: string): Promise<string>;
}

/** Ada, who has dialled Ben through a proxy. Without mailboxes: what arrives came this way. */
async function pairThroughProxy(town: Town, stack: AsyncDisposableStack): Promise<Pair> {
  const { signal } = town;
  const { place, proxy } = await proxiedPlace({ label: 'ben', random: randomFrom(1), signal });
  stack.use(proxy);
  // Ben, who after a cut may be the first to dial, would have a way past the proxy.
  const unreachable = await proxiedPlace({ label: 'ada', random: randomFrom(2), signal });
  stack.use(unreachable.proxy);
  unreachable.proxy.weather({ refusing: true });
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { place: unreachable.place }),
    town.daemon('ben', { place }),
  ]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
  const sent: string[] = [];
  const say = (text: string): Promise<string> => {
    sent.push(text);
    return ada.send('ben', text);
  };
  await ada.reached(await say('before'), 'delivered');
  return { ada, ben, proxy, sent, say };
}

async function arrivedInOrder({ ben, sent }: Pair): Promise<void> {
  const texts = await ben.texts(sent.length);
  assert.deepEqual(
    texts.map((text) => text.slice(0, 20)),
    sent.map((text) => text.slice(0, 20)),
  );
  assert.deepEqual(texts, sent);
}

scenario(
  'through a proxy that cuts in the middle of a message, and stalls, and is slow: once, in order',
  async (town, t) => {
    await using stack = new AsyncDisposableStack();
    const pair = await pairThroughProxy(town, stack);
    const { ada, proxy, say } = pair;
    for (const [bytes, how] of [
      [20_000, 'reset'],
      [40_000, 'closed'],
      [0, 'reset'],
    ] as const) {
      proxy.cut(bytes, how);
      const id = await say(`${how} after ${bytes} ${LONG}`);
      await timed(t, `cut after ${bytes} bytes, ${how}, until delivered`, () => ada.reached(id, 'delivered'));
    }
    proxy.weather({ delayMs: 50, jitterMs: 100 });
    await ada.reached(await say(`slow ${LONG}`), 'delivered');
    for (const stalled of ['in', 'out', 'both'] as const) {
      proxy.weather({ stalled });
      const id = await say(`stalled ${stalled}`);
      await ada.reached(id, 'queued');
      proxy.heal();
      await timed(t, `a short stall, ${stalled}, from healing until delivered`, () =>
        ada.reached(id, 'delivered'),
      );
    }
    await arrivedInOrder(pair);
  },
);

scenario('bytes that a network breaks end the connection and nothing else', async (town, t) => {
  await using stack = new AsyncDisposableStack();
  const pair = await pairThroughProxy(town, stack);
  const { ada, proxy, say } = pair;
  for (const how of MANGLINGS) {
    proxy.mangle(how);
    // Two writes: the loss of a whole one shows at the next.
    const ids = [await say(`${how} 1 ${LONG}`), await say(`${how} 2`)];
    await timed(t, `${how}, until delivered`, async () => {
      for (const id of ids) await ada.reached(id, 'delivered');
    });
    proxy.heal();
  }
  await arrivedInOrder(pair);
});
