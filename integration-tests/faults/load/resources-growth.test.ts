import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureGrowth } from './resources-growth.ts';

/** No run takes this long on two busy cores. */
const RUN_MS = 120_000;

const CONNECTIONS = 10;

/**
 * What is still held for a while: events, timers, streams that are being closed. Some 25 kB were measured; a connection
 * that is kept for good with all that belongs to it is more.
 */
const MAX_BYTES = 150_000;

void test('what a connection between friends leaves behind is small', async (t) => {
  const signal = AbortSignal.any([t.signal, AbortSignal.timeout(RUN_MS)]);
  const found = await measureGrowth(
    {
      unit: 'connection',
      each: CONNECTIONS,
      async run({ ada, ben }) {
        for (let time = 0; time < CONNECTIONS; time++) {
          await ada.client.call('disconnect', { who: ben.peerId }, { signal }).catch(() => undefined);
          await ada.client.call('connect', { who: ben.peerId }, { signal });
          await ada.client.call('history', { who: ben.peerId }, { signal });
        }
      },
    },
    { rounds: 2, settleMs: 0, showClasses: false, signal },
  );
  assert.equal(found.length, 3);
  for (const { label, times, bytes, handles } of found) {
    assert.equal(times, 2 * CONNECTIONS);
    assert.ok((bytes.after - bytes.before) / times < MAX_BYTES, `${label}: ${JSON.stringify(bytes)}`);
    assert.ok(!(handles.after > handles.before + 10), `${label}: ${JSON.stringify(handles)}`);
  }
});
