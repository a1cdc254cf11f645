import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { EVENTS_PATH } from '../../protocols/control/routes.ts';
import { PEER, ID, serve, open, text, eventsOf, readEvents } from './api-fixture.ts';

void test('events: live, by cursor, by Last-Event-ID, which wins', async (t) => {
  const { events, socketPath } = await serve(t);
  const listen = async (path: string, headers = {}): Promise<IncomingMessage> => {
    const sending = open(socketPath, { path, headers });
    sending.end();
    const [response] = (await once(sending, 'response')) as [IncomingMessage];
    assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
    return response;
  };
  const start = events.cursor();
  const live = readEvents(await listen(EVENTS_PATH), 2);
  events.append({ type: 'warning', message: 'one\ntwo' });
  events.append({ type: 'warning', message: 'three' });
  const seen = await live;
  assert.deepEqual(
    seen.map((event) => event.type === 'warning' && event.message),
    ['one\ntwo', 'three'],
  );
  assert.deepEqual(await readEvents(await listen(`${EVENTS_PATH}?after=${start}`), 2), seen);
  const [, second] = seen;
  const again = await listen(`${EVENTS_PATH}?after=${start}`, { 'last-event-id': seen[0]!.cursor });
  assert.deepEqual(await readEvents(again, 1), [second]);
});

void test('a slow reader of events overflows and learns of it', async (t) => {
  const { events, socketPath } = await serve(t);
  const sending = open(socketPath, { path: EVENTS_PATH });
  sending.end();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  // 24,000 events of 1 KiB: more than the ring and every buffer on the way.
  for (let round = 0; round < 24; round++) {
    for (let n = 0; n < 1000; n++) events.append({ type: 'warning', message: 'w'.repeat(1000) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  events.append({ type: 'contact', peerId: PEER, change: 'added' });
  const types = new Set<string>();
  for await (const event of eventsOf(response)) {
    types.add(event.type);
    if (event.type === 'resync') break;
  }
  assert.ok(types.has('resync'));
});
