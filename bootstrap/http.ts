import Fastify from 'fastify';
import type { FastifyError, FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { openPeerRecord } from '../protocols/phonebook/peer-record.ts';
import { MAX_PAGE_ENTRIES } from '../protocols/phonebook/protocol.ts';
import type {
  Decision,
  ListEntry,
  ListPage,
  ListQuery,
  PhonebookErrorCode,
  Refusal,
  ResolvedRow,
  ResolveKey,
} from '../protocols/phonebook/protocol.ts';
import { explainListenError } from '../protocols/transport/listen-errors.ts';

/** The phonebook, as far as anybody may read it over HTTP. */
export interface PublicPhonebook {
  resolve(key: ResolveKey): Promise<Decision<{ row: ResolvedRow }>>;
  list(query: ListQuery): Promise<Decision<{ page: ListPage }>>;
}

export interface BootstrapHttpInit {
  phonebook: PublicPhonebook;
  metrics: Pick<Registry, 'metrics' | 'contentType'>;
  /** Why the node can't serve right now; undefined when it can. */
  notReady: () => Promise<string | undefined>;
  onError: (error: Error) => void;
}

/** A request that takes longer than this to arrive is a slowloris. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Everything is a GET; nothing is read from bodies. */
const BODY_BYTES = 1024;

/** Longer than any cursor a listing gives. */
const MAX_CURSOR_CHARS = 200;

/** Longer than any name or peer id. */
const MAX_NAME_CHARS = 200;

/** Refusals that a read can meet; the others are about writing. */
const HTTP_STATUS: Partial<Record<PhonebookErrorCode, number>> = {
  malformed: 400,
  'invalid-name': 400,
  'not-found': 404,
  'rate-limited': 429,
  unavailable: 503,
};

interface ErrorBody {
  error: { code: string; message: string; field: string | null; hint: string | null };
}

function errorBody(code: string, message: string, field: string | null = null): ErrorBody {
  return { error: { code, message, field, hint: null } };
}

function entryBody({ peerId, name, online, lastSeenMs }: ListEntry) {
  return { peerId, name, online, lastSeenAt: new Date(lastSeenMs).toISOString() };
}

async function rowBody(row: ResolvedRow) {
  const multiaddrs = row.peerRecord === null ? [] : (await openPeerRecord(row.peerRecord)).multiaddrs;
  const base64 = (bytes: Uint8Array | null): string | null =>
    bytes === null ? null : Buffer.from(bytes).toString('base64');
  return {
    ...entryBody(row),
    multiaddrs,
    certificate: base64(row.certificate),
    peerRecord: base64(row.peerRecord),
    contactCard: base64(row.contactCard),
  };
}

/**
 * The bootstrap node's HTTP endpoints, all read-only: `/health`, `/ready`, `/metrics`, `/v1/peers` and
 * `/v1/peers/{name}`. Errors have the shape of the daemon API's.
 */
export function bootstrapHttp({ phonebook, metrics, notReady, onError }: BootstrapHttpInit): FastifyInstance {
  const http = Fastify({
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: MAX_NAME_CHARS },
  });
  const refusal = ({ status, detail }: Refusal): { status: number; body: ErrorBody } => ({
    status: HTTP_STATUS[status] ?? 500,
    body: errorBody(status, detail ?? status),
  });

  http.get('/health', () => ({ status: 'ok' }));

  http.get('/ready', async (_request, reply) => {
    const reason = await notReady();
    if (reason === undefined) return { status: 'ready' };
    return reply.code(503).send(errorBody('unavailable', reason));
  });

  http.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.metrics()),
  );

  http.get<{ Querystring: { limit: number; after: string; online: boolean } }>(
    '/v1/peers',
    {
      schema: {
        querystring: {
          type: 'object',
          properties: {
            limit: { type: 'integer', minimum: 1, maximum: MAX_PAGE_ENTRIES, default: MAX_PAGE_ENTRIES },
            after: { type: 'string', maxLength: MAX_CURSOR_CHARS, default: '' },
            online: { type: 'boolean', default: false },
          },
        },
      },
    },
    async ({ query: { limit, after, online } }, reply) => {
      const decision = await phonebook.list({ limit, after, onlineOnly: online });
      if (decision.status === 'ok') {
        return { peers: decision.page.entries.map(entryBody), next: decision.page.next };
      }
      const { status, body } = refusal(decision);
      return reply.code(status).send(body);
    },
  );

  http.get<{ Params: { name: string } }>('/v1/peers/:name', async ({ params: { name } }, reply) => {
    const decision = await phonebook.resolve({ name });
    if (decision.status === 'ok') return rowBody(decision.row);
    const { status, body } = refusal(decision);
    return reply.code(status).send(body);
  });

  http.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(errorBody('not-found', 'there is nothing here')),
  );
  http.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status < 500) {
      const field = error.validation?.[0]?.instancePath.slice(1) ?? null;
      return reply.code(status).send(errorBody('invalid', error.message, field));
    }
    onError(error);
    return reply.code(500).send(errorBody('internal', 'this node failed to answer; its log says why'));
  });
  return http;
}

/**
 * Starts serving.
 *
 * @param address HOST:PORT, with an IPv6 host in brackets; port 0 picks a free one
 * @returns the URL
 * @throws Error that says which address is at fault, and why
 */
export async function listenHttp(http: FastifyInstance, address: string): Promise<string> {
  const match = /^(?:\[(?<ip6>[0-9a-f:]+)\]|(?<host>[^:[\]]+)):(?<port>\d{1,5})$/i.exec(address);
  const host = match?.groups?.['ip6'] ?? match?.groups?.['host'];
  const port = Number(match?.groups?.['port']);
  if (host === undefined || port > 65_535) {
    throw new Error(`http must be HOST:PORT, as in 127.0.0.1:7080, not ${address}`);
  }
  try {
    return await http.listen({ host, port });
  } catch (error) {
    throw new Error(`cannot serve HTTP on ${address}: ${explainListenError(error)}`, { cause: error });
  }
}
