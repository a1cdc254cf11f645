import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { randomFrom } from '../../harness/random.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { openProxy } from './proxy.ts';
import type { FaultProxy } from './proxy.ts';

/** One end of a connection and all that came to it. */
interface End {
  socket: Socket;
  readonly got: string;
  /** How it ended: with a reset or properly. */
  readonly ended: 'reset' | 'closed' | undefined;
}

interface Pair {
  proxy: FaultProxy;
  /** A connection through the proxy: who dialled, and the program behind it. */
  open(): Promise<{ dialler: End; program: End }>;
}

function end(socket: Socket): End {
  let got = '';
  let ended: End['ended'];
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => (got += text));
  socket.on('error', () => (ended = 'reset'));
  socket.on('end', () => (ended ??= 'closed'));
  return {
    socket,
    get got() {
      return got;
    },
    get ended() {
      return ended;
    },
  };
}

async function pair(t: TestContext): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await openProxy({
    targetHost: '127.0.0.1',
    targetPort: (server.address() as AddressInfo).port,
    random: randomFrom(1),
    signal: t.signal,
  });
  t.after(async () => {
    await proxy[Symbol.asyncDispose]();
    server.close();
  });
  return {
    proxy,
    async open() {
      const [dialler, [program]] = await Promise.all([
        Promise.resolve(connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true })),
        once(server, 'connection') as Promise<[Socket]>,
      ]);
      t.after(() => {
        dialler.destroy();
        program.destroy();
      });
      return { dialler: end(dialler), program: end(program) };
    },
  };
}

const seen = (t: TestContext, what: string, look: () => boolean): Promise<true> =>
  waitFor(what, look, { signal: t.signal, timeoutMs: 5_000 });

void test('in fair weather all goes through both ways, and the end of each way by itself', async (t) => {
  const { proxy, open } = await pair(t);
  const { dialler, program } = await open();
  const long = 'x'.repeat(3_000_000);
  dialler.socket.end(long);
  await seen(t, 'all of it', () => program.ended === 'closed');
  assert.equal(program.got, long);
  program.socket.end('and back');
  await seen(t, 'the answer', () => dialler.ended === 'closed');
  assert.equal(dialler.got, 'and back');
  await seen(t, 'the proxy to forget it', () => proxy.connections === 0);
});

void test('what is late stays in order', async (t) => {
  const { proxy, open } = await pair(t);
  const { dialler, program } = await open();
  proxy.weather({ delayMs: 20, jitterMs: 30 });
  const fromMs = performance.now();
  for (let i = 0; i < 10; i++) {
    dialler.socket.write(String(i));
    await delay(2, undefined, { signal: t.signal });
  }
  await seen(t, 'all of them', () => program.got.length === 10);
  assert.equal(program.got, '0123456789');
  assert.ok(performance.now() - fromMs >= 20);
});

void test('one way stalls, the other moves, and nothing is lost; who sends is made to wait', async (t) => {
  const { proxy, open } = await pair(t);
  const { dialler, program } = await open();
  proxy.weather({ stalled: 'in' });
  const long = 'x'.repeat(20_000_000);
  dialler.socket.end(long);
  program.socket.write('heard');
  await seen(t, 'the other way', () => dialler.got === 'heard');
  assert.equal(program.got, '');
  assert.ok(dialler.socket.writableLength > 0, 'the proxy took no more than it has room for');
  proxy.heal();
  await seen(t, 'the rest', () => program.ended === 'closed');
  assert.equal(program.got.length, long.length);
});

for (const how of ['reset', 'closed'] as const) {
  void test(`cut in the middle: ${how}`, async (t) => {
    const { proxy, open } = await pair(t);
    const [cut, later] = [await open(), 'a new one'];
    proxy.cut(5, how);
    cut.dialler.socket.write('0123456789');
    await seen(t, 'the cut', () => cut.program.ended !== undefined && cut.dialler.ended !== undefined);
    assert.deepEqual([cut.program.got, cut.program.ended], ['01234', how]);
    const fresh = await open();
    fresh.dialler.socket.write(later);
    await seen(t, later, () => fresh.program.got === later);
  });
}

for (const [how, expected] of [
  ['lost', ''],
  ['doubled', 'abcdabcd'],
  ['swapped', 'cdab'],
] as const) {
  void test(`a chunk is ${how}, once`, async (t) => {
    const { proxy, open } = await pair(t);
    const { dialler, program } = await open();
    proxy.mangle(how);
    dialler.socket.write('abcd');
    await delay(20, undefined, { signal: t.signal });
    dialler.socket.write('.');
    await seen(t, 'what comes after', () => program.got.endsWith('.'));
    assert.equal(program.got, `${expected}.`);
  });
}

void test('one bit is flipped', async (t) => {
  const { proxy, open } = await pair(t);
  const { dialler, program } = await open();
  proxy.mangle('flipped');
  dialler.socket.write('\0\0\0\0');
  await seen(t, 'the chunk', () => program.got.length === 4);
  const bits = Buffer.from(program.got, 'latin1').toString('hex').replaceAll('0', '');
  assert.match(bits, /^[1248]$/);
});

void test('refused connections are reset, those that are open go on', async (t) => {
  const { proxy, open } = await pair(t);
  const { dialler, program } = await open();
  await seen(t, 'the connection', () => proxy.connections === 1);
  proxy.weather({ refusing: true });
  const refused = end(connect(proxy.port, proxy.host));
  await seen(t, 'the refusal', () => refused.ended === 'reset');
  dialler.socket.write('still here');
  await seen(t, 'the open one', () => program.got === 'still here');
});

void test('a program that is away is a reset, and it may come back at another port', async (t) => {
  const { proxy, open } = await pair(t);
  const elsewhere = createServer((socket) => socket.end('elsewhere'));
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  t.after(() => elsewhere.close());
  const { dialler } = await open();
  proxy.aim((elsewhere.address() as AddressInfo).port);
  const next = end(connect(proxy.port, proxy.host));
  await seen(t, 'the other program', () => next.got === 'elsewhere');
  proxy.aim(0);
  const refused = end(connect(proxy.port, proxy.host));
  await seen(t, 'the refusal', () => refused.ended === 'reset');
  await proxy[Symbol.asyncDispose]();
  await seen(t, 'the end of all', () => dialler.ended === 'reset');
});
