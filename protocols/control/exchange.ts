import { Agent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { once } from 'node:events';
import { ControlError } from './errors.ts';
import { ERROR_STATUS } from './routes.ts';
import type { ErrorView } from './contract.ts';
import type { ErrorCode } from './routes.ts';

/** Where a daemon listens: its Unix socket, which needs no token, or loopback HTTP with the bearer token. */
export type ControlAddress = { socketPath: string } | { url: string; token: string };

/** Nobody answers at the daemon's address, or the daemon went away in the middle of an answer. */
export class DaemonUnreachableError extends Error {
  override name = 'DaemonUnreachableError';
  /** Whether the request may have reached the daemon before the connection was lost. */
  readonly mayHaveArrived: boolean;

  constructor(message: string, { mayHaveArrived, cause }: { mayHaveArrived: boolean; cause?: unknown }) {
    super(message, { cause });
    this.mayHaveArrived = mayHaveArrived;
  }
}

/** What answers at the daemon's address is no daemon, or one that is broken. */
export class InvalidAnswerError extends Error {
  override name = 'InvalidAnswerError';
}

/**
 * Reads JSON out of an answer. That it has the shape the contract promises is believed: it comes from the user's daemon.
 *
 * @throws {InvalidAnswerError} for what is not JSON
 */
export function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidAnswerError('the daemon answered with something that is not JSON', { cause: error });
  }
}

export interface ExchangeInit {
  method: string;
  path: string;
  headers?: Record<string, string>;
  /** The whole body; without it the caller writes to `request` and ends it. */
  body?: string;
  signal?: AbortSignal | undefined;
}

export interface Exchange {
  request: ClientRequest;
  /** Settles with the headers of the answer, whatever its status. */
  response: Promise<IncomingMessage>;
}

export interface Exchanger {
  open(init: ExchangeInit): Exchange;
  /** Closes idle connections. */
  close(): void;
}

/** Error codes of a connection that was never made: the request can't have arrived. */
const REFUSED = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTSOCK', 'ENOTDIR']);
/** Error codes of a connection that was lost. */
const LOST = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'HPE_INVALID_EOF_STATE']);

/** An error body is a few hundred bytes; more is no error body of ours. */
const MAX_ERROR_BODY_CHARS = 64 * 1024;

/** HTTP to one daemon, over connections that are kept for the next request. */
export function exchanger(address: ControlAddress): Exchanger {
  const agent = new Agent({ keepAlive: true });
  const base = connectionOptions(address);

  return {
    open({ method, path, headers, body, signal }) {
      const request = httpRequest({
        ...base,
        agent,
        method,
        path,
        headers: {
          ...(base.headers as Record<string, string>),
          ...(body === undefined
            ? undefined
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
          ...headers,
        },
        ...(signal === undefined ? undefined : { signal }),
      });
      if (body !== undefined) request.end(body);
      else if (method === 'GET' || method === 'DELETE') request.end();
      // A streaming request can fail after its answer began: those who read the answer are told there.
      request.on('error', () => {});
      const response = firstResponse(request, signal);
      response.catch(() => {});
      return { request, response };
    },

    close() {
      agent.destroy();
    },
  };
}

function connectionOptions(address: ControlAddress): RequestOptions {
  if ('socketPath' in address) return { socketPath: address.socketPath, headers: {} };
  const { hostname, port } = new URL(address.url);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 80 : Number(port),
    headers: { authorization: `Bearer ${address.token}` },
  };
}

async function firstResponse(
  request: ClientRequest,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return response;
  } catch (error) {
    throw explainFailure(error, signal);
  }
}

/** Turns what `node:http` throws into an abort's own reason, a `DaemonUnreachableError`, or leaves it as it is. */
export function explainFailure(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return error;
  if (REFUSED.has(code)) {
    return new DaemonUnreachableError('no daemon answers', { mayHaveArrived: false, cause: error });
  }
  if (LOST.has(code)) {
    return new DaemonUnreachableError('the daemon went away', { mayHaveArrived: true, cause: error });
  }
  return error;
}

/** The error an answer with a status of 400 or above stands for. */
export async function readControlError(response: IncomingMessage): Promise<ControlError> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_ERROR_BODY_CHARS) break;
  }
  return parseControlError(text, response.statusCode ?? 500);
}

function parseControlError(text: string, status: number): ControlError {
  try {
    const { error } = JSON.parse(text) as Partial<ErrorView>;
    if (error !== undefined && Object.hasOwn(ERROR_STATUS, error.code)) return controlError(error);
  } catch {
    // Not JSON, so not from a daemon's operation: the status has to do.
  }
  const code = (Object.keys(ERROR_STATUS) as ErrorCode[]).find((code) => ERROR_STATUS[code] === status);
  return new ControlError(code ?? 'internal', `the daemon answered with status ${status}`);
}

/** The error class for an error as it travels. */
export function controlError({ code, message, field, hint }: ErrorView['error']): ControlError {
  return new ControlError(code, message, {
    ...(field === null || field === undefined ? undefined : { field }),
    ...(hint === null || hint === undefined ? undefined : { hint }),
  });
}
