import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import pino from 'pino';
import type { ControlOperations, ErrorView, EventView } from '../../protocols/control/contract.ts';
import { routes, SEND_STREAM_PATH } from '../../protocols/control/routes.ts';
import { eventLog } from '../event-log.ts';
import type { SendBatch } from './send-stream.ts';
import { controlServer } from './server.ts';

export const PEER = '12D3KooWGzBq5VLxBkDbvBmGLgpN9kT8HmY8eVh3Cq1ygMdCpYEq';
export const ID = '018f0000-0000-7000-8000-000000000001';
export const TOKEN = 'a-token-of-this-test';

export type Call = { name: string; input: Record<string, unknown>; signal: AbortSignal };
type Run = (call: Call) => unknown;

export const sent = { id: ID, state: 'queued', to: PEER, failure: null };

/** Delivers everything at once. */
export const deliverAll: SendBatch = (messages, onChanges) => {
  for (const state of ['queued', 'delivered'] as const) {
    onChanges(messages.map(({ index }) => ({ index, id: ID, to: PEER, state })));
  }
};

export async function serve(
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

export interface Ask {
  method?: string;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Over the Unix socket, or the loopback port. */
export function open(where: string | number, { method = 'GET', path, headers = {} }: Ask): ClientRequest {
  const to = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  return request({ ...to, method, path, headers, agent: false });
}

export async function ask(where: string | number, asked: Ask) {
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

export async function text(response: IncomingMessage): Promise<string> {
  let all = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) all += chunk;
  return all;
}

export async function openStream(where: string, path = SEND_STREAM_PATH) {
  const sending = open(where, {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  sending.flushHeaders();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  return { sending, response };
}

export async function lines(response: IncomingMessage): Promise<Record<string, unknown>[]> {
  const all = await text(response);
  return all
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Events as they come. */
export async function* eventsOf(response: IncomingMessage): AsyncGenerator<EventView> {
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

/** Reads an event stream until it has `count` events. */
export async function readEvents(response: IncomingMessage, count: number): Promise<EventView[]> {
  const events: EventView[] = [];
  for await (const event of eventsOf(response)) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

export const authorised = { authorization: `Bearer ${TOKEN}` };
