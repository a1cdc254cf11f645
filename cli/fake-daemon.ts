import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { z } from 'zod';
import { contract } from '../protocols/control/contract.ts';
import type { ControlOperations, EventView, MessageView } from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { ERROR_STATUS, EVENTS_PATH, routes, SEND_STREAM_PATH } from '../protocols/control/routes.ts';
import type { RouteName } from '../protocols/control/routes.ts';
import { fakeOperations } from './fake-operations.ts';
import type { FakeEvent } from './fake-operations.ts';

/** A daemon in memory, for the tests of the command: the contract's shapes, checked both ways, on a real socket. */
export interface FakeDaemon {
  dataDir: string;
  /** A message from somebody arrives. */
  receive(from: string, text: string): MessageView;
  /** Somebody unknown wants to write. */
  ask(from: string, text: string): void;
  /** An own message reaches a state. */
  reach(id: string, state: 'stored' | 'delivered' | 'read'): void;
  /** Something about somebody changes, or whether messages to them wait. */
  changeContact(peerId: string, waiting?: boolean): void;
  messages: MessageView[];
  /** Ids up to which messages were marked as read, in order. */
  marked: string[];
  /** Event streams that are open now. */
  readonly readers: number;
  stop(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export async function fakeDaemon(overrides: Partial<ControlOperations> = {}): Promise<FakeDaemon> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tincan-cli-'));
  const socket = join(dataDir, 'control.sock');
  const events: EventView[] = [];
  const readers = new Set<ServerResponse>();
  let server: ReturnType<typeof createServer> | undefined;

  function emit(event: FakeEvent): void {
    const full: EventView = { ...event, cursor: `e${events.length + 1}` };
    events.push(full);
    for (const reader of readers) reader.write(`data: ${JSON.stringify(full)}\n\n`);
  }
  const fake = fakeOperations(emit);
  const operations: ControlOperations = { ...fake.operations, ...overrides };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://daemon');
    if (url.pathname === EVENTS_PATH) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
      const after = url.searchParams.get('after');
      if (after !== null) {
        for (const event of events.slice(Number(after.slice(1)))) {
          response.write(`data: ${JSON.stringify(event)}\n\n`);
        }
      }
      readers.add(response);
      request.on('close', () => readers.delete(response));
      return;
    }
    if (url.pathname === SEND_STREAM_PATH) {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      for await (const line of createInterface({ input: request })) {
        const { ref, ...body } = contractLine(line);
        const sent = await operations.send(body, { signal: AbortSignal.timeout(5000) });
        response.write(`${JSON.stringify({ ref, id: sent.id, to: sent.to, state: sent.state })}\n`);
      }
      response.end();
      return;
    }
    for (const [name, { method, path }] of Object.entries(routes) as [
      RouteName,
      (typeof routes)[RouteName],
    ][]) {
      const pattern = new RegExp(`^${path.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
      const match = pattern.exec(url.pathname);
      if (match === null || method !== request.method) continue;
      const parameters = Object.entries(match.groups ?? {}).map(([key, value]) => [
        key,
        decodeURIComponent(value),
      ]);
      const body = await bodyOf(request);
      const given: unknown = {
        ...Object.fromEntries(parameters),
        ...Object.fromEntries(url.searchParams),
        ...(body === '' ? undefined : (JSON.parse(body) as object)),
      };
      const input = parseInput(name, given);
      const operation = operations[name] as (input: unknown, options: object) => unknown;
      const result = await operation(input, { signal: new AbortController().signal });
      answer(response, 200, (contract[name].response as z.ZodType).parse(result));
      return;
    }
    throw new ControlError('not-found', `no route ${request.method} ${url.pathname}`);
  }

  const daemon: FakeDaemon = {
    dataDir,
    receive: fake.receive,
    ask: fake.ask,
    reach: fake.reach,
    changeContact: (peerId, waiting) => emit({ type: 'contact', peerId, change: 'changed', waiting }),
    messages: fake.messages,
    marked: fake.marked,
    get readers() {
      return readers.size;
    },
    async start() {
      server = createServer((request, response) => {
        handle(request, response).catch((error: unknown) => {
          if (response.headersSent) {
            response.destroy();
            return;
          }
          const { code, message, field, hint } =
            error instanceof ControlError ? error : new ControlError('internal', String(error));
          answer(response, ERROR_STATUS[code], { error: { code, message, field, hint } });
        });
      });
      await new Promise<void>((resolve) => server!.listen(socket, resolve));
      await writeFile(
        join(dataDir, 'daemon.json'),
        JSON.stringify({
          pid: process.pid,
          socket,
          http: 'http://127.0.0.1:1',
          tokenFile: join(dataDir, 'token'),
        }),
      );
    },
    async stop() {
      const closed = new Promise((resolve) => server?.close(resolve));
      server?.closeAllConnections();
      await closed;
    },
    async remove() {
      if (server?.listening === true) await daemon.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  await daemon.start();
  return daemon;
}

function parseInput(name: RouteName, given: unknown): unknown {
  const operation = contract[name];
  const parsed: unknown[] = [];
  for (const part of ['params', 'query', 'body'] as const) {
    if (!(part in operation)) continue;
    const result = (operation as unknown as Record<typeof part, z.ZodType>)[part].safeParse(given);
    if (!result.success) throw new ControlError('invalid', result.error.issues[0]?.message ?? 'invalid');
    parsed.push(result.data);
  }
  return Object.assign({}, ...parsed) as unknown;
}

function contractLine(line: string): {
  to: string;
  text: string;
  id?: string;
  ref?: string;
  wait: 'queued';
  timeoutMs: number;
} {
  return { wait: 'queued', timeoutMs: 0, ...(JSON.parse(line) as { to: string; text: string }) };
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
