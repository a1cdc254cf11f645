import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import pino from 'pino';
import type { ControlOperations } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { ERROR_STATUS, EVENTS_PATH, routes, SEND_STREAM_PATH } from '../../protocols/control/routes.ts';
import type { RouteName } from '../../protocols/control/routes.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { eventLog } from '../event-log.ts';
import { MAX_JSON_BYTES } from './limits.ts';
import { ERROR_MEANINGS } from './operations.ts';
import { controlServer } from './server.ts';
import {
  ID,
  TOKEN,
  sent,
  deliverAll,
  serve,
  open,
  ask,
  openStream,
  text,
  authorised,
} from './api-fixture.ts';
import type { Call, Ask } from './api-fixture.ts';

const execute = promisify(execFile);

const BODIES: Partial<Record<RouteName, object>> = {
  unlock: { passphrase: 'p' },
  backup: { file: '/b', passphrase: 'p' },
  claimName: { name: 'ada' },
  verify: { verified: true },
  compareCode: { code: 'x' },
  decideKeyChange: { decision: 'keep', claimed: 'y' },
  addContact: { who: 'ben' },
  accept: {},
  invite: {},
  connect: { who: 'ben' },
  send: { to: 'ben', text: 'hello' },
  markRead: { upTo: ID },
};

const QUERIES: Partial<Record<RouteName, string>> = { search: '?q=swan' };

void test('every operation is reached, with what its path, query and body say', async (t) => {
  const calls: Call[] = [];
  const { socketPath, port } = await serve(t, {
    run: (call) => {
      calls.push(call);
      throw new ControlError('conflict', 'as arranged', { field: 'f', hint: 'h' });
    },
  });
  for (const [name, { method, path }] of Object.entries(routes)) {
    const body = BODIES[name as RouteName];
    const asked = {
      method,
      path:
        path
          .replace('{who}', encodeURIComponent('tincan:x?a=/ip4/1'))
          .replace('{id}', name === 'revokeInvite' ? '7' : ID) + (QUERIES[name as RouteName] ?? ''),
      ...(body && { body }),
    };
    for (const answer of [await ask(socketPath, asked), await ask(port, { ...asked, headers: authorised })]) {
      assert.equal(answer.status, 409, name);
      assert.deepEqual(answer.body, {
        error: { code: 'conflict', message: 'as arranged', field: 'f', hint: 'h' },
      });
    }
    assert.equal(calls.at(-1)!.name, name);
    if (path.includes('{who}')) assert.equal(calls.at(-1)!.input['who'], 'tincan:x?a=/ip4/1');
  }
  assert.deepEqual(calls.find(({ name }) => name === 'send')!.input, {
    to: 'ben',
    text: 'hello',
    wait: 'queued',
    timeoutMs: 10_000,
  });
});

void test('success has the status of the contract', async (t) => {
  const { socketPath } = await serve(t);
  const { status, body } = await ask(socketPath, { method: 'POST', path: '/v1/messages', body: BODIES.send });
  assert.equal(status, 201);
  assert.deepEqual(body, sent);
});

void test('what is malformed is refused with its field', async (t) => {
  const { socketPath } = await serve(t, { run: () => assert.fail('not reached') });
  const cases: [Ask, string, string][] = [
    [{ method: 'POST', path: '/v1/messages', body: { to: '', text: 'x' } }, 'invalid', 'to'],
    [
      { method: 'POST', path: '/v1/messages', body: { to: 'a', text: 'é'.repeat(30_000) } },
      'invalid',
      'text',
    ],
    [{ method: 'POST', path: '/v1/messages', body: '{"to":' }, 'invalid', 'body'],
    [
      { method: 'POST', path: '/v1/messages', body: { to: 'a', text: 'x'.repeat(MAX_JSON_BYTES) } },
      'too-large',
      'body',
    ],
    [
      { method: 'POST', path: '/v1/messages', body: 'x', headers: { 'content-type': 'text/plain' } },
      'invalid',
      'content-type',
    ],
    [{ path: '/v1/inbox?limit=0' }, 'invalid', 'limit'],
    [{ path: '/v1/messages/7' }, 'invalid', 'id'],
    [{ path: '/v1/peers/%zz' }, 'invalid', 'body'],
    [{ path: `${EVENTS_PATH}?after=nonsense` }, 'invalid', 'after'],
    [
      {
        method: 'POST',
        path: `${SEND_STREAM_PATH}?until=read`,
        headers: { 'content-type': 'application/x-ndjson' },
      },
      'invalid',
      'until',
    ],
  ];
  for (const [asked, code, field] of cases) {
    const { status, body } = await ask(socketPath, asked);
    assert.deepEqual([body.error.code, body.error.field], [code, field], asked.path);
    assert.equal(status, ERROR_STATUS[code as keyof typeof ERROR_STATUS]);
  }
  const missing = await ask(socketPath, { path: '/v1/nothing' });
  assert.deepEqual([missing.status, missing.body.error.code], [404, 'not-found']);
});

void test('errors from below keep their meaning and leak nothing', async (t) => {
  let thrown: unknown;
  const { socketPath } = await serve(t, {
    run: () => {
      throw thrown;
    },
  });
  const cases: [unknown, string][] = [
    [new StoreError('SQLITE_FULL at /home/ada', 'disk-full'), 'disk-full'],
    [new StoreError('malformed: /home/ada', 'corrupt'), 'damaged'],
    [new StoreError('SQLITE_IOERR at /home/ada', 'io'), 'disk-error'],
    [new StoreError('gone', 'closed'), 'unavailable'],
    [new DOMException('slow', 'TimeoutError'), 'timeout'],
    [Object.assign(new Error('secret'), { statusCode: 404 }), 'internal'],
    ['secret', 'internal'],
  ];
  for (const [error, code] of cases) {
    thrown = error;
    const { status, body } = await ask(socketPath, { path: '/v1/status' });
    assert.equal(body.error.code, code);
    assert.equal(status, ERROR_STATUS[code as keyof typeof ERROR_STATUS]);
    assert.doesNotMatch(JSON.stringify(body), /secret|ada/);
  }
});

void test('over TCP, token, Host and Origin are checked', async (t) => {
  const { port, socketPath } = await serve(t);
  const path = '/openapi.json';
  const codeFor = async (headers: Record<string, string>): Promise<string> => {
    const { status, body } = await ask(port, { path, headers });
    return status === 200 ? 'ok' : body.error.code;
  };
  assert.equal(await codeFor({}), 'unauthorized');
  assert.equal(await codeFor({ authorization: 'Bearer wrong' }), 'unauthorized');
  assert.equal(await codeFor({ authorization: `Basic ${TOKEN}` }), 'unauthorized');
  assert.equal(await codeFor(authorised), 'ok');
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
    assert.equal(await codeFor({ ...authorised, host }), 'ok');
    assert.equal(await codeFor({ ...authorised, host, origin: `http://${host}` }), 'ok');
  }
  for (const host of [
    `evil.example:${port}`,
    'localhost',
    `localhost:${port + 1}`,
    `localhost:${port}.evil.example`,
  ]) {
    assert.equal(await codeFor({ ...authorised, host }), 'forbidden', host);
  }
  for (const origin of ['null', 'http://evil.example', `https://127.0.0.1:${port}`, 'http://127.0.0.1']) {
    assert.equal(await codeFor({ ...authorised, origin }), 'forbidden', origin);
  }
  assert.equal((await ask(socketPath, { path })).status, 200);
});

void test('the socket is for its owner alone, and goes with the server', async (t) => {
  const { socketPath, server } = await serve(t);
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
  await server.stop();
  await assert.rejects(stat(socketPath), { code: 'ENOENT' });
});

void test('an address in use, or one others can reach, is refused clearly', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'tincan-api-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const make = (http: string, socketPath = join(dir, 's')) =>
    controlServer({
      operations: {} as ControlOperations,
      events: eventLog({ messagesAfter: async () => [], nowRow: 0 }),
      sendStream: deliverAll,
      socketPath,
      http,
      token: TOKEN,
      logger: pino({ level: 'silent' }),
      version: '0',
    });
  for (const http of [
    '0.0.0.0:80',
    '192.0.2.1:1',
    '[::]:1',
    'example.com:1',
    '127.0.0.1',
    '127.0.0.1:70000',
    '',
  ]) {
    assert.throws(() => make(http), { name: 'ControlError', code: 'invalid', field: 'http' }, http);
  }
  const { signal } = new AbortController();
  await assert.rejects(make(`127.0.0.1:${(taken.address() as AddressInfo).port}`).start({ signal }), {
    code: 'conflict',
    field: 'http',
  });
  await assert.rejects(make('127.0.0.1:0', join(dir, 'x'.repeat(100))).start({ signal }), {
    code: 'invalid',
  });
  // A socket whose process died: the file stays, nobody listens.
  const stale = join(dir, 'stale');
  await execute(process.execPath, [
    '-e',
    `require('net').createServer().listen('${stale}', () => process.kill(process.pid, 9))`,
  ]).catch(() => undefined);
  assert.ok((await stat(stale)).isSocket());
  const again = make('127.0.0.1:0', stale);
  await again.start({ signal });
  assert.equal((await ask(stale, { path: '/openapi.json' })).status, 200);
  await again.stop();
  const file = join(dir, 'file');
  await writeFile(file, 'precious');
  await assert.rejects(make('127.0.0.1:0', file).start({ signal }), { code: 'invalid' });
  assert.equal((await stat(file)).size, 8);
});

void test('a client that leaves aborts its operation', async (t) => {
  const started = Promise.withResolvers<AbortSignal>();
  const { socketPath } = await serve(t, {
    run: ({ signal }) => {
      started.resolve(signal);
      return once(signal, 'abort');
    },
  });
  const sending = open(socketPath, { path: '/v1/status' });
  sending.on('error', () => undefined);
  sending.end();
  const signal = await started.promise;
  sending.destroy();
  if (!signal.aborted) await once(signal, 'abort');
});

void test('what is not HTTP gets an answer', async (t) => {
  const { socketPath } = await serve(t);
  const socket = connect(socketPath);
  socket.end('hello\r\n\r\n');
  let answer = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
  assert.match(answer, /^HTTP\/1.1 400 [\s\S]*"code":"invalid"/);
});

void test('stop ends streams at once and answers what is running', async (t) => {
  const running = Promise.withResolvers<void>();
  const { server, socketPath } = await serve(t, {
    run: ({ signal }) => {
      running.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
    sendStream: () => undefined,
  });
  const events = open(socketPath, { path: EVENTS_PATH });
  events.end();
  const [eventResponse] = (await once(events, 'response')) as [IncomingMessage];
  const { sending, response } = await openStream(socketPath);
  sending.on('error', () => undefined);
  sending.write('{"to":"ben","text":"x"}\n');
  const asked = ask(socketPath, { path: '/v1/status' });
  await running.promise;
  const before = performance.now();
  await Promise.all([server.stop(), text(eventResponse), text(response)]);
  assert.equal((await asked).body.error.code, 'unavailable');
  assert.ok(performance.now() - before < 1000);
});

void test('OpenAPI 3.1 has every operation, parameter and error of the contract', async (t) => {
  const { socketPath } = await serve(t);
  const { body } = await ask(socketPath, { path: '/openapi.json' });
  const document = body as unknown as {
    openapi: string;
    info: { version: string };
    paths: Record<
      string,
      Record<
        string,
        { operationId: string; summary: string; responses: object; parameters?: { name: string }[] }
      >
    >;
  };
  assert.match(document.openapi, /^3\.1\./);
  assert.equal(document.info.version, '1.2.3');
  const expected = [
    ...Object.entries(routes).map(([name, { method, path }]) => ({ name, method, path: path as string })),
    { name: 'events', method: 'GET', path: EVENTS_PATH },
    { name: 'sendStream', method: 'POST', path: SEND_STREAM_PATH },
  ];
  for (const { name, method, path } of expected) {
    const operation = document.paths[path]?.[method.toLowerCase()];
    assert.ok(operation, `${method} ${path}`);
    assert.equal(operation.operationId, name);
    assert.ok(operation.summary.length > 0);
    assert.ok(Object.keys(operation.responses).length > 1);
    for (const [, parameter] of path.matchAll(/\{(\w+)\}/g)) {
      assert.ok(
        operation.parameters?.some((one) => one.name === parameter),
        `${path}: ${parameter}`,
      );
    }
  }
  const operationsInIt = Object.values(document.paths).flatMap((item) => Object.values(item));
  assert.equal(operationsInIt.length, expected.length);
  assert.equal(JSON.stringify(document).includes('"$ref"'), false);
});

void test('the README explains every error code', async () => {
  const readme = await readFile(new URL('../../protocols/control/README.md', import.meta.url), 'utf8');
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${code}\``));
    assert.ok(
      row?.includes(String(status)) && row.includes(ERROR_MEANINGS[code as keyof typeof ERROR_MEANINGS]),
      code,
    );
  }
});
