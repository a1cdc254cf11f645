import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { controlClient } from './client.ts';
import type { SendLineAnswerView } from './contract.ts';

const ID = '00000000-0000-4000-8000-000000000001';

async function fakeDaemon(
  t: TestContext,
  listener: RequestListener,
): Promise<{ socketPath: string; server: Server }> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-client-'));
  const socketPath = join(folder, 'control.sock');
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { socketPath, server };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request as AsyncIterable<string>) text += chunk;
  return text;
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

void test('arguments go into the path, the query or the body', async (t) => {
  const seen: string[] = [];
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    void bodyOf(request).then((body) => {
      seen.push(`${request.method} ${request.url} ${body}`.trimEnd());
      answer(response, 200, {});
    });
  });
  const client = controlClient({ socketPath });
  await client.call('status', {});
  await client.call('whois', { who: 'ann/b?c ü' });
  await client.call('inbox', { unread: 'true', limit: 5, after: undefined });
  await client.call('history', { who: 'ben', before: 'c1' });
  await client.call('markRead', { who: 'ben', upTo: ID });
  await client.call('disconnect', { who: 'ben' });
  await client.call('invite', {});
  client.close();
  assert.deepEqual(seen, [
    'GET /v1/status',
    'GET /v1/peers/ann%2Fb%3Fc%20%C3%BC',
    'GET /v1/inbox?unread=true&limit=5',
    'GET /v1/conversations/ben/messages?before=c1',
    `POST /v1/conversations/ben/read {"upTo":"${ID}"}`,
    'DELETE /v1/connections/ben',
    'POST /v1/invites {}',
  ]);
});

void test('the token travels over HTTP', async (t) => {
  const server = createServer((request, response) => {
    answer(response, 200, { authorization: request.headers.authorization });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const client = controlClient({ url: `http://127.0.0.1:${port}`, token: 'secret' });
  assert.deepEqual(await client.call('status', {}), { authorization: 'Bearer secret' });
  client.close();
});

void test('a refusal is a ControlError with all its parts', async (t) => {
  const { socketPath } = await fakeDaemon(t, (_, response) => {
    answer(response, 404, {
      error: { code: 'not-found', message: 'nobody is called ben', field: 'who', hint: 'check the spelling' },
    });
  });
  await assert.rejects(controlClient({ socketPath }).call('whois', { who: 'ben' }), {
    name: 'ControlError',
    code: 'not-found',
    message: 'nobody is called ben',
    field: 'who',
    hint: 'check the spelling',
  });
});

void test('a refusal that is no JSON takes its code from the status', async (t) => {
  const { socketPath } = await fakeDaemon(t, (_, response) => {
    response.writeHead(413).end('<html>');
  });
  await assert.rejects(controlClient({ socketPath }).call('status', {}), {
    name: 'ControlError',
    code: 'too-large',
  });
});

void test('no socket, a dead socket and a lost connection are told apart', async (t) => {
  const { socketPath } = await fakeDaemon(t, (request) => request.socket.destroy());
  await assert.rejects(
    controlClient({ socketPath: join(tmpdir(), 'tincan-no-such.sock') }).call('status', {}),
    {
      name: 'DaemonUnreachableError',
      mayHaveArrived: false,
    },
  );
  await assert.rejects(controlClient({ socketPath }).call('status', {}), {
    name: 'DaemonUnreachableError',
    mayHaveArrived: true,
  });
});

void test('an abort ends a call with its own reason', async (t) => {
  const { socketPath } = await fakeDaemon(t, () => {});
  const controller = new AbortController();
  const call = controlClient({ socketPath }).call('status', {}, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, { message: 'enough' });
});

void test('events are put together from chunks, comments are skipped, an end is an error', async (t) => {
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    assert.equal(request.url, '/v1/events?after=c%2F1');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('id: c1\n\n:\n\nid: c2\nevent: warning\ndata: {"type":"warning","cur');
    setImmediate(() => {
      response.write('sor":"c2","message":"a"}\n\n: still here\n\n');
      response.end('data: {"type":"warning","cursor":"c3",\ndata: "message":"ü"}\n\n');
    });
  });
  const events = controlClient({ socketPath }).events({ after: 'c/1' });
  await events.opened;
  assert.equal(events.cursor, 'c/1');
  const seen: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const event of events) {
        assert.equal(events.cursor, event.cursor);
        seen.push(event);
      }
    },
    { name: 'DaemonUnreachableError' },
  );
  assert.deepEqual(seen, [
    { type: 'warning', cursor: 'c2', message: 'a' },
    { type: 'warning', cursor: 'c3', message: 'ü' },
  ]);
});

void test('a refused event stream says why, at opening and at reading', async (t) => {
  const { socketPath } = await fakeDaemon(t, (_, response) => {
    answer(response, 400, {
      error: { code: 'invalid', message: 'no such cursor', field: 'after', hint: null },
    });
  });
  const events = controlClient({ socketPath }).events({ after: 'x' });
  await assert.rejects(events.opened, { code: 'invalid' });
  await assert.rejects(
    async () => {
      for await (const event of events) assert.fail(event.type);
    },
    { code: 'invalid', field: 'after' },
  );
});

void test('breaking out of events closes the connection', async (t) => {
  const closed = Promise.withResolvers<void>();
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    request.on('close', () => closed.resolve());
    response.write('data: {"type":"warning","cursor":"c","message":"m"}\n\n');
  });
  for await (const event of controlClient({ socketPath }).events()) {
    assert.equal(event.cursor, 'c');
    break;
  }
  await closed.promise;
});

void test('the streaming send answers while lines still come', async (t) => {
  let chunks = 0;
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    assert.equal(request.url, '/v1/messages/stream?until=queued');
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    let pending = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      chunks++;
      const lines = (pending + chunk).split('\n');
      pending = lines.pop() ?? '';
      const answers = lines.map((line) => {
        const { ref } = JSON.parse(line) as { ref: number };
        return `${JSON.stringify({ ref, id: ID, to: 'p', state: 'queued' })}\n`;
      });
      response.write(answers.join(''));
    });
    request.on('end', () => response.end());
  });
  const stream = controlClient({ socketPath }).sendStream({ until: 'queued' });
  const total = 5000;
  const answers: SendLineAnswerView[] = [];
  const reading = (async () => {
    for await (const answer of stream) {
      answers.push(answer);
      // The second half is sent only after the answers to the first: the request is still open.
      if (answers.length === total / 2) {
        for (let ref = total / 2; ref < total; ref++) stream.send({ to: 'ben', text: 'ü'.repeat(20), ref });
        stream.end();
      }
    }
  })();
  for (let ref = 0; ref < total / 2; ref++) {
    if (!stream.send({ to: 'ben', text: 'ü'.repeat(20), ref })) await stream.drain();
  }
  await reading;
  assert.deepEqual(
    answers.map(({ ref }) => ref),
    Array.from({ length: total }, (_, index) => index),
  );
  assert.ok(chunks < total / 10, `${chunks} chunks for ${total} lines`);
});

void test('a daemon that stops reading holds the sender back', async (t) => {
  const go = Promise.withResolvers<void>();
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    response.writeHead(200);
    response.flushHeaders();
    void go.promise.then(() => {
      request.resume();
      request.on('end', () => response.end());
    });
  });
  const stream = controlClient({ socketPath }).sendStream();
  const text = 'x'.repeat(32 * 1024);
  let lines = 0;
  while (stream.send({ to: 'ben', text })) {
    lines++;
    assert.ok(lines < 1000, 'nothing held the sender back');
    await new Promise((resolve) => setImmediate(resolve));
  }
  go.resolve();
  await stream.drain();
  stream.end();
  for await (const answer of stream) assert.fail(JSON.stringify(answer));
});

void test('a streaming send that is refused, or that loses its daemon, says so', async (t) => {
  const { socketPath, server } = await fakeDaemon(t, (_, response) => {
    answer(response, 503, { error: { code: 'unavailable', message: 'stopping', field: null, hint: null } });
  });
  const read = async () => {
    const stream = controlClient({ socketPath }).sendStream();
    stream.send({ to: 'ben', text: 'hi' });
    for await (const answer of stream) assert.fail(JSON.stringify(answer));
  };
  await assert.rejects(read(), { name: 'ControlError', code: 'unavailable' });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(read(), { name: 'DaemonUnreachableError', mayHaveArrived: false });
});

void test('who answers with no JSON is no daemon', async (t) => {
  const { socketPath } = await fakeDaemon(t, (request, response) => {
    response.end(request.url?.startsWith('/v1/events') === true ? 'data: {\n\n' : '{\n');
  });
  const client = controlClient({ socketPath });
  const expected = { name: 'InvalidAnswerError' };
  await assert.rejects(client.call('status', {}), expected);
  await assert.rejects(async () => {
    for await (const event of client.events()) assert.fail(event.type);
  }, expected);
  const stream = client.sendStream();
  stream.end();
  await assert.rejects(async () => {
    for await (const answer of stream) assert.fail(JSON.stringify(answer));
  }, expected);
  client.close();
});
