import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootstrapHttp, listenHttp } from './http.ts';
import type { BootstrapHttpInit } from './http.ts';

function http(overrides: Partial<BootstrapHttpInit> = {}) {
  return bootstrapHttp({
    phonebook: {
      list: () => Promise.resolve({ status: 'ok', page: { entries: [], next: null } }),
      resolve: () => Promise.resolve({ status: 'not-found' }),
    },
    metrics: {
      metrics: () => Promise.resolve('up 1\n'),
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
    },
    notReady: () => Promise.resolve(undefined),
    onError: () => undefined,
    ...overrides,
  });
}

const ENTRY = { peerId: '12D3KooW', name: 'bob', online: true, lastSeenMs: 0 };
const ENTRY_BODY = { peerId: '12D3KooW', name: 'bob', online: true, lastSeenAt: '1970-01-01T00:00:00.000Z' };

void test('passes a listing query on and its page back', async () => {
  const queries: unknown[] = [];
  const server = http({
    phonebook: {
      list: (query) => {
        queries.push(query);
        return Promise.resolve({ status: 'ok', page: { entries: [ENTRY], next: 'cursor' } });
      },
      resolve: () => assert.fail('not asked'),
    },
  });
  const answer = await server.inject('/v1/peers?limit=7&after=x&online=true');
  assert.deepEqual(answer.json(), { peers: [ENTRY_BODY], next: 'cursor' });
  await server.inject('/v1/peers');
  assert.deepEqual(queries, [
    { limit: 7, after: 'x', onlineOnly: true },
    { limit: 100, after: '', onlineOnly: false },
  ]);
});

void test('shows a row with what proves it', async () => {
  const row = { ...ENTRY, certificate: Uint8Array.of(1, 2, 3), peerRecord: null, contactCard: null };
  const server = http({
    phonebook: {
      list: () => assert.fail('not asked'),
      resolve: (key) => {
        assert.deepEqual(key, { name: 'bób' });
        return Promise.resolve({ status: 'ok', row });
      },
    },
  });
  const answer = await server.inject(`/v1/peers/${encodeURIComponent('bób')}`);
  assert.deepEqual(answer.json(), {
    ...ENTRY_BODY,
    multiaddrs: [],
    certificate: 'AQID',
    peerRecord: null,
    contactCard: null,
  });
});

void test('every failure has a status, a code and words', async () => {
  const errors: string[] = [];
  const failing = http({
    phonebook: {
      list: () => Promise.reject(new Error('secret')),
      resolve: () => Promise.resolve({ status: 'unavailable', detail: 'too many requests wait' }),
    },
    notReady: () => Promise.resolve('the store is behind'),
    onError: (error) => errors.push(error.message),
  });
  const cases: [string, number, string, string, string?][] = [
    ['/ready', 503, 'unavailable', 'the store is behind'],
    ['/v1/peers/bob', 503, 'unavailable', 'too many requests wait'],
    ['/v1/peers', 500, 'internal', 'this node failed to answer; its log says why'],
    ['/v1/peers?limit=0', 400, 'invalid', 'querystring/limit must be >= 1', 'limit'],
    ['/v1/peers?limit=101', 400, 'invalid', 'querystring/limit must be <= 100', 'limit'],
    ['/v1/peers?online=maybe', 400, 'invalid', 'querystring/online must be boolean', 'online'],
    ['/elsewhere', 404, 'not-found', 'there is nothing here'],
  ];
  for (const [url, status, code, message, field = null] of cases) {
    const answer = await failing.inject(url);
    assert.equal(answer.statusCode, status, url);
    assert.deepEqual(answer.json(), { error: { code, message, field, hint: null } });
  }
  assert.deepEqual(errors, ['secret']);
  assert.equal((await failing.inject(`/v1/peers/${'x'.repeat(201)}`)).statusCode, 414);
  assert.equal((await failing.inject({ method: 'POST', url: '/v1/peers', payload: {} })).statusCode, 404);
});

void test('health, readiness and metrics', async () => {
  assert.deepEqual((await http().inject('/health')).json(), { status: 'ok' });
  assert.deepEqual((await http().inject('/ready')).json(), { status: 'ready' });
  assert.equal((await http().inject('/metrics')).body, 'up 1\n');
});

void test('an address to serve on is HOST:PORT', async (t) => {
  for (const address of ['7080', 'localhost', 'localhost:', ':7080', '::1:7080', '127.0.0.1:65536', 'a:b']) {
    await assert.rejects(listenHttp(http(), address), { message: /^http must be HOST:PORT/ }, address);
  }
  const server = http();
  t.after(() => server.close());
  assert.match(await listenHttp(server, '127.0.0.1:0'), /^http:\/\/127\.0\.0\.1:\d+$/);
});
