import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import pino from 'pino';
import type { ControlOperations, ErrorView, EventView } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { ERROR_STATUS, EVENTS_PATH, routes, SEND_STREAM_PATH } from '../../protocols/control/routes.ts';
import type { RouteName } from '../../protocols/control/routes.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { eventLog } from '../event-log.ts';
import { MAX_LINE_BYTES, MAX_UNANSWERED } from './limits.ts';
import { ERROR_MEANINGS } from './operations.ts';
import type { SendBatch } from './send-stream.ts';
import { controlServer } from './server.ts';

const PEER = '12D3KooWGzBq5VLxBkDbvBmGLgpN9kT8HmY8eVh3Cq1ygMdCpYEq';
const ID = '018f0000-0000-7000-8000-000000000001';
const TOKEN = 'a-token-of-this-test';

const execute = promisify(execFile);

type Call = { name: string; input: Record<string, unknown>; signal: AbortSignal };
type Run = (call: Call) => unknown;

const sent = { id: ID, state: 'queued', to: PEER, failure: null };

/** Delivers everything at once. */
const deliverAll: SendBatch = (messages, onChanges) => {
  for (const state of ['queued', 'delivered'] as const) {
    onChanges(messages.map(({ index }) => ({ index, id: ID, to: PEER, state })));
  }
};

async function serve(
  t: TestContext,
  { run = () => sent, sendStream = deliverAll }: { run?: Run; sendStream?: SendBatch } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'tincan-api-'));
  const socketPath = join(dir, 'control.sock');
  const operations = Object.fromEntries(
    Object.keys(routes).map((name) => [
      name,
      async (input: Record<string, unknown>, { signal }: { signal: AbortSignal }) =>
        run({ name, input, signal }),
    ]),
  ) as unknown as ControlOperations;
  const events = eventLog({ messagesAfter: async () => [], nowRow: 0 });
  const server = controlServer({
    operations,
    events,
    sendStream,
    socketPath,
    http: '127.0.0.1:0',
    token: TOKEN,
    logger: pino({ level: 'silent' }),
    version: '1.2.3',
  });
  await server.start({ signal: new AbortController().signal });
  t.after(async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });
  return { server, events, socketPath, port: Number(new URL(server.url).port) };
}

interface Ask {
  method?: string;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Over the Unix socket, or the loopback port. */
function open(where: string | number, { method = 'GET', path, headers = {} }: Ask): ClientRequest {
  const to = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  return request({ ...to, method, path, headers, agent: false });
}

async function ask(where: string | number, asked: Ask) {
  const sending = open(where, {
    ...asked,
    headers: {
      ...(asked.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...asked.headers,
    },
  });
  sending.end(typeof asked.body === 'string' ? asked.body : JSON.stringify(asked.body));
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  const body = await text(response);
  return {
    status: response.statusCode,
    headers: response.headers,
    body: JSON.parse(body) as ErrorView & Record<string, unknown>,
  };
}

async function text(response: IncomingMessage): Promise<string> {
  let all = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) all += chunk;
  return all;
}

async function openStream(where: string, path = SEND_STREAM_PATH) {
  const sending = open(where, {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  sending.flushHeaders();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  return { sending, response };
}

async function lines(response: IncomingMessage): Promise<Record<string, unknown>[]> {
  const all = await text(response);
  return all
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Reads an event stream until it has `count` events. */
async function readEvents(response: IncomingMessage, count: number): Promise<EventView[]> {
  const events: EventView[] = [];
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) events.push(JSON.parse(data) as EventView);
    }
    if (events.length >= count) break;
  }
  return events;
}

const authorised = { authorization: `Bearer ${TOKEN}` };

const BODIES: Partial<Record<RouteName, object>> = {
  claimName: { name: 'ada' },
  addContact: { who: 'ben' },
  connect: { who: 'ben' },
  send: { to: 'ben', text: 'hello' },
  markRead: { upTo: ID },
};

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
      path: path.replace('{who}', encodeURIComponent('tincan:x?a=/ip4/1')).replace('{id}', ID),
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
      { method: 'POST', path: '/v1/messages', body: { to: 'a', text: 'x'.repeat(MAX_LINE_BYTES) } },
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

async function* eventsOf(response: IncomingMessage): AsyncGenerator<EventView> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield JSON.parse(data) as EventView;
    }
  }
}

void test('streaming send: 10,000 messages over one request, each answered', async (t) => {
  let batches = 0;
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      batches++;
      setImmediate(() => deliverAll(messages, onChanges, options));
    },
  });
  const { sending, response } = await openStream(socketPath);
  const answers = lines(response);
  for (let n = 0; n < 10_000; n++) sending.write(`{"to":"ben","text":"message ${n}","ref":${n}}\n`);
  sending.end();
  const all = await answers;
  assert.equal(all.length, 20_000);
  const delivered = all.filter(({ state }) => state === 'delivered').map(({ ref }) => ref);
  assert.deepEqual(
    delivered,
    Array.from({ length: 10_000 }, (_, n) => n),
  );
  assert.ok(batches < 1000, `${batches} batches`);
});

void test('streaming send: a bad line is answered with its ref, the others go on', async (t) => {
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      const unknown = messages.filter(({ to }) => to === 'nobody');
      const error = new ControlError('not-found', 'nobody is known by that name', { field: 'to' });
      onChanges(unknown.map(({ index }) => ({ index, error })));
      deliverAll(
        messages.filter(({ to }) => to !== 'nobody'),
        onChanges,
        options,
      );
    },
  });
  const { sending, response } = await openStream(socketPath, `${SEND_STREAM_PATH}?until=queued`);
  sending.write('{"to":"ben","text":"","ref":"a"}\nnot json\n\n{"to":"nobody","text":"x","ref":2}\n');
  sending.write(Buffer.from([0x22, 0xff, 0x22, 0x0a]));
  sending.end('{"to":"ben","text":"without a newline","ref":3}');
  const all = await lines(response);
  assert.deepEqual(
    all.map(({ ref, state, error }) => [ref, state ?? (error as ErrorView['error']).code]),
    [
      ['a', 'invalid'],
      [undefined, 'invalid'],
      [undefined, 'invalid'],
      [2, 'not-found'],
      [3, 'queued'],
    ],
  );
});

void test('streaming send: a line over the limit ends the request', async (t) => {
  const { socketPath } = await serve(t);
  const { sending, response } = await openStream(socketPath);
  sending.on('error', () => undefined);
  sending.write(`{"to":"ben","text":"${'x'.repeat(MAX_LINE_BYTES)}`);
  const [answer] = await lines(response);
  assert.equal((answer as unknown as ErrorView).error.code, 'too-large');
});

void test('streaming send: reading stops while too much is unanswered', async (t) => {
  let taken = 0;
  let answer: (() => void) | undefined;
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      taken += messages.length;
      const before = answer;
      answer = () => {
        before?.();
        deliverAll(messages, onChanges, options);
      };
      if (taken >= MAX_UNANSWERED) full.resolve();
    },
  });
  const full = Promise.withResolvers<void>();
  const { sending, response } = await openStream(socketPath);
  const answers = lines(response);
  const count = 50_000;
  for (let n = 0; n < count; n++) sending.write(`{"to":"ben","text":"${'x'.repeat(40)}"}\n`);
  sending.end();
  await full.promise;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(taken < MAX_UNANSWERED + 4000, `${taken} were taken`);
  const answering = setInterval(() => {
    const now = answer;
    answer = undefined;
    now?.();
  }, 1);
  t.after(() => clearInterval(answering));
  assert.equal((await answers).length, 2 * count);
});

void test('streaming send: a client that leaves aborts the signal', async (t) => {
  const given = Promise.withResolvers<AbortSignal>();
  const { socketPath } = await serve(t, {
    sendStream: (_messages, _onChanges, { signal }) => given.resolve(signal),
  });
  const { sending, response } = await openStream(socketPath);
  response.on('error', () => undefined);
  sending.on('error', () => undefined);
  sending.write('{"to":"ben","text":"x"}\n');
  const signal = await given.promise;
  sending.destroy();
  if (!signal.aborted) await once(signal, 'abort');
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
