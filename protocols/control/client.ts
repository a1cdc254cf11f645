import { eventStream } from './event-stream.ts';
import { exchanger, explainFailure, InvalidAnswerError, parseAnswer, readControlError } from './exchange.ts';
import { routes } from './routes.ts';
import { sendStream } from './send-stream.ts';
import type { OperationArguments, OperationResult } from './contract.ts';
import type { EventStream, EventStreamOptions } from './event-stream.ts';
import type { ControlAddress } from './exchange.ts';
import type { RouteName } from './routes.ts';
import type { SendStream, SendStreamOptions } from './send-stream.ts';

/** A daemon, as its API gives it. */
export interface ControlClient {
  /**
   * Calls one operation of the contract.
   *
   * @throws {ControlError} when the daemon says no
   * @throws {DaemonUnreachableError} when no daemon answers, or it went away before it answered
   * @throws {InvalidAnswerError} when it is no daemon that answers
   */
  call<Name extends RouteName>(
    name: Name,
    args: OperationArguments<Name>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<OperationResult<Name>>;
  /** What happens at the daemon, from now on or from behind a cursor. */
  events(options?: EventStreamOptions): EventStream;
  /** Sends many messages over one request. */
  sendStream(options?: SendStreamOptions): SendStream;
  /** Closes idle connections; a stream that is open stays. */
  close(): void;
}

/** A full page of the longest messages fits; a daemon that answers more is not one of ours. */
const MAX_ANSWER_CHARS = 256 * 1024 * 1024;

/**
 * The client of the daemon API. Validates nothing, and so loads no schemas: the daemon does, and says what is wrong.
 *
 *     const client = controlClient({ socketPath: '/home/ada/.tincan/control.sock' });
 *     await client.call('send', { to: 'ben', text: 'hello' });
 *     for await (const event of client.events()) console.log(event);
 */
export function controlClient(address: ControlAddress): ControlClient {
  const http = exchanger(address);

  return {
    async call<Name extends RouteName>(
      name: Name,
      args: OperationArguments<Name>,
      { signal }: { signal?: AbortSignal | undefined } = {},
    ): Promise<OperationResult<Name>> {
      signal?.throwIfAborted();
      const { method, path, body } = requestFor(name, args as Record<string, unknown>);
      const { response } = http.open({
        method,
        path,
        signal,
        ...(body === undefined ? undefined : { body }),
      });
      const answer = await response;
      try {
        if ((answer.statusCode ?? 500) >= 400) throw await readControlError(answer);
        let text = '';
        answer.setEncoding('utf8');
        for await (const chunk of answer as AsyncIterable<string>) {
          text += chunk;
          if (text.length > MAX_ANSWER_CHARS)
            throw new InvalidAnswerError('the daemon answered without an end');
        }
        return parseAnswer(text) as OperationResult<Name>;
      } catch (error) {
        throw explainFailure(error, signal);
      }
    },

    events(options = {}) {
      return eventStream(http, options);
    },

    sendStream(options = {}) {
      return sendStream(http, options);
    },

    close() {
      http.close();
    },
  };
}

/** Puts arguments where the route wants them: path parameters by their name, the rest in the query or the body. */
function requestFor(
  name: RouteName,
  args: Record<string, unknown>,
): { method: string; path: string; body: string | undefined } {
  const { method, path: template } = routes[name];
  const rest = new Map(Object.entries(args).filter(([, value]) => value !== undefined));
  const path = template.replace(/\{(\w+)\}/g, (_, parameter: string) => {
    const value = rest.get(parameter);
    rest.delete(parameter);
    return encodeURIComponent(String(value));
  });
  if (method === 'GET' || method === 'DELETE') {
    const query = new URLSearchParams([...rest].map(([key, value]) => [key, String(value)])).toString();
    return { method, path: query === '' ? path : `${path}?${query}`, body: undefined };
  }
  return { method, path, body: JSON.stringify(Object.fromEntries(rest)) };
}
