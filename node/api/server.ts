import { finished } from 'node:stream/promises';
import type { Socket } from 'node:net';
import fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ControlOperations } from '../../protocols/control/contract.ts';
import { EVENTS_PATH, SEND_STREAM_PATH } from '../../protocols/control/routes.ts';
import type { EventLog } from '../event-log.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { accessCheck, parseHttpAddress } from './access.ts';
import { serveEvents } from './event-stream.ts';
import { LINGER_MS, MAX_JSON_BYTES, MAX_PARAM_CHARACTERS } from './limits.ts';
import { closeServer, httpServer, listenOnPort, listenOnSocket } from './listeners.ts';
import { addOpenapi } from './openapi.ts';
import { addOperations } from './operations.ts';
import { refusal, refusalBody, refusalStatus, unknownRoute } from './refusals.ts';
import { serveSendStream } from './send-stream.ts';
import type { SendBatch } from './send-stream.ts';

export interface ControlServerInit {
  /** The daemon: one function an operation. */
  operations: ControlOperations;
  events: Pick<EventLog, 'subscribe' | 'cursor'>;
  /** The daemon's side of the streaming send. */
  sendStream: SendBatch;
  /** Where the Unix socket is made, with mode 0600. Who can open it needs no token. */
  socketPath: string;
  /** HOST:PORT on a loopback address; port 0 picks a free one. */
  http: string;
  /** What requests over TCP carry as `Authorization: Bearer`. At least 128 random bits. */
  token: string;
  logger: FastifyBaseLogger;
  /** Tincan's version, for the OpenAPI document. */
  version: string;
}

export interface ControlServer {
  /**
   * Listens on the socket and the port.
   *
   * @throws ControlError `invalid` for an address others can reach or a path no socket can have, `conflict` for a port
   * in use; nothing is left listening then
   */
  start: (options: { signal: AbortSignal }) => Promise<void>;
  /** Ends all streams at once, lets what is running answer, and has closed everything within a second. */
  stop: () => Promise<void>;
  /** Of the HTTP API, once started. */
  readonly url: string;
}

const EventsQuery = z.object({ after: z.string().max(200).optional() });
const StreamQuery = z.object({ until: z.enum(['queued', 'stored', 'delivered']).default('delivered') });

/**
 * The daemon's API (protocols/control): the contract's operations, the event stream and the streaming send, over a Unix
 * socket and loopback HTTP.
 *
 * @example
 * ```ts
 * const server = controlServer({ operations, events, sendStream, socketPath, http: '127.0.0.1:0', token, logger, version })
 * await server.start({ signal })
 * console.log(server.url)
 * ```
 */
export function controlServer(init: ControlServerInit): ControlServer {
  const { socketPath, logger } = init;
  const address = parseHttpAddress(init.http);
  /** Of the requests that are being served. */
  const running = new Set<AbortController>();
  /** Connections that came in over the Unix socket. All others are TCP and need the token. */
  const trusted = new WeakSet<Socket>();
  let checkAccess: ReturnType<typeof accessCheck> = () => {
    throw new ControlError('unavailable', 'the daemon is starting');
  };
  let url = '';
  let stopping = false;

  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    bodyLimit: MAX_JSON_BYTES,
    routerOptions: { maxParamLength: MAX_PARAM_CHARACTERS },
    // The servers are ours, as there are two of them for one set of routes.
    serverFactory: (handler) => httpServer(handler),
    clientErrorHandler: () => undefined,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply as FastifyReply),
  });
  const onPort = app.server;
  const onSocket = httpServer((request, response) => app.routing(request, response));
  onSocket.on('connection', (socket) => trusted.add(socket));

  const signalOf = (reply: FastifyReply): AbortSignal => {
    const gone = new AbortController();
    if (stopping) gone.abort();
    running.add(gone);
    reply.raw.once('close', () => {
      running.delete(gone);
      if (!reply.raw.writableFinished) gone.abort();
    });
    return gone.signal;
  };

  const answerError = async (
    error: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const refused = refusal(error);
    if (refused.code === 'internal') {
      logger.error(
        { err: refused.cause, method: request.method, route: request.routeOptions.url },
        'request failed',
      );
    }
    if (refused.code === 'too-large' && !request.raw.complete) {
      // The connection is closed under whoever still writes, and the answer lost with it.
      request.raw.resume();
      await finished(request.raw, { signal: AbortSignal.timeout(LINGER_MS) }).catch(() => undefined);
    }
    return reply.code(refusalStatus(refused)).send(refusalBody(refused));
  };

  const build = async (): Promise<void> => {
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);
    app.removeContentTypeParser('text/plain');
    app.setErrorHandler(answerError);
    app.setNotFoundHandler(({ method }) => {
      throw unknownRoute(method);
    });
    app.addHook('onRequest', async ({ raw }) => {
      if (!trusted.has(raw.socket)) checkAccess(raw.headers);
    });
    await addOpenapi(app, init.version);
    addOperations(app, init.operations, signalOf);
    await app.register(async (scope) => addStreams(scope, init, signalOf));
    await app.ready();
  };

  const stop = async (): Promise<void> => {
    stopping = true;
    for (const gone of running) gone.abort();
    await Promise.all([closeServer(onSocket), closeServer(onPort)]);
    await app.close();
  };

  return {
    start: async ({ signal }) => {
      try {
        await build();
        signal.throwIfAborted();
        const bound = await listenOnPort(onPort, address);
        checkAccess = accessCheck(init.token, bound);
        url = `http://${bound.host.includes(':') ? `[${bound.host}]` : bound.host}:${bound.port}`;
        await listenOnSocket(onSocket, socketPath);
        signal.throwIfAborted();
      } catch (error) {
        await stop();
        throw error;
      }
    },
    stop,
    get url() {
      return url;
    },
  };
}

/** Adds the two operations that stream. `app` has a scope of its own: no body of these is read before its handler. */
function addStreams(
  app: FastifyInstance,
  { events, sendStream, logger }: ControlServerInit,
  signalOf: (reply: FastifyReply) => AbortSignal,
): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/x-ndjson', (_request, _payload, done) => done(null));

  app.get(EVENTS_PATH, { schema: { hide: true, querystring: EventsQuery } }, (request, reply) => {
    // A browser that reconnects repeats its first URL; the header is newer.
    const seen = request.headers['last-event-id'] || (request.query as z.output<typeof EventsQuery>).after;
    const after = Array.isArray(seen) ? seen[0] : seen;
    const writing = serveEvents(reply.raw, { events, after, signal: signalOf(reply) });
    reply.hijack();
    writing.catch((error: unknown) => logger.error({ err: error }, 'an event stream failed'));
  });

  app.post(SEND_STREAM_PATH, { schema: { hide: true, querystring: StreamQuery } }, (request, reply) => {
    const { until } = request.query as z.output<typeof StreamQuery>;
    reply.hijack();
    serveSendStream(request.raw, reply.raw, { sendBatch: sendStream, until, signal: signalOf(reply) });
  });
}
