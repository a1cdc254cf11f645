import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ControlError } from '../../protocols/control/errors.ts';
import type { StreamedChange } from '../api/send-stream.ts';
import type { Outgoing } from '../delivery/delivery.ts';
import { sendBatch } from './send-batch.ts';

const SELF = 'self';

/** Names from `known` lead to themselves at once; others are looked up, in `steps` turns; `x` is nobody. */
function world(known: readonly string[], steps: (who: string) => number) {
  const found = new Set(known);
  const sent: Outgoing[] = [];
  let untracked = 0;
  const send = sendBatch({
    self: SELF,
    directory: {
      known: (who) => (found.has(who) ? who : undefined),
      async resolve(who) {
        for (let n = steps(who); n > 0; n--) await new Promise(setImmediate);
        if (who === 'x') throw new ControlError('not-found', 'nobody');
        // Known to others from here on, before the caller knows.
        found.add(who);
        await new Promise(setImmediate);
        return who;
      },
    },
    delivery: {
      async send(items) {
        sent.push(...items);
        await Promise.resolve();
        return { rows: new Float64Array(items.length), idAt: String, untrack: () => void untracked++ };
      },
    },
  });
  return { send, sent, untracked: () => untracked };
}

void test('lines to one recipient stay in order, whoever has to be looked up first; each is answered once', async () => {
  const batches = fc.array(fc.array(fc.constantFrom('a', 'b', 'c', 'x', SELF), { maxLength: 6 }), {
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(batches, fc.array(fc.nat({ max: 4 }), { minLength: 4 }), async (batches, waits) => {
      const { send, sent } = world(['a', SELF], (who) => waits['abcx'.indexOf(who)] ?? 0);
      const { signal } = new AbortController();
      const answers = new Map<number, StreamedChange[]>();
      const total = batches.flat().length;
      const done = Promise.withResolvers<void>();
      if (total === 0) done.resolve();
      let index = 0;
      const wanted: Outgoing[] = [];
      for (const batch of batches) {
        const messages = batch.map((to) => {
          wanted.push({ peer: to, text: String(index) });
          return { index, to, text: String(index++), ref: undefined };
        });
        const onChanges = (changes: readonly StreamedChange[]): void => {
          for (const change of changes) {
            answers.set(change.index, [...(answers.get(change.index) ?? []), change]);
            if (answers.size === total) done.resolve();
          }
        };
        send(messages, onChanges, { until: 'queued', signal });
        await new Promise(setImmediate);
      }
      await done.promise;
      for (const who of ['a', 'b', 'c'])
        assert.deepEqual(
          sent.filter(({ peer }) => peer === who),
          wanted.filter(({ peer }) => peer === who),
        );
      for (const { peer, text } of wanted) {
        const [answer, ...more] = answers.get(Number(text))!;
        assert.equal(more.length, 0);
        assert.equal(
          'error' in answer! ? answer.error.code : answer!.state,
          {
            x: 'not-found',
            self: 'invalid',
          }[peer] ?? 'queued',
        );
      }
    }),
    { numRuns: 200 },
  );
});

void test('a client that goes ends the tracking of its messages', async () => {
  const { send, untracked } = world(['a'], () => 0);
  const gone = new AbortController();
  const queued = Promise.withResolvers<void>();
  send([{ index: 1, to: 'a', text: 'hi', ref: 1 }], () => queued.resolve(), {
    until: 'delivered',
    signal: gone.signal,
  });
  await queued.promise;
  assert.equal(untracked(), 0);
  gone.abort();
  assert.equal(untracked(), 1);
});
