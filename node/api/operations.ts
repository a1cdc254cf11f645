import type { FastifyInstance, FastifyReply } from 'fastify';
import type { z } from 'zod';
import { contract, ErrorBody } from '../../protocols/control/contract.ts';
import type { ControlOperations, Operation } from '../../protocols/control/contract.ts';
import { ERROR_STATUS, routes } from '../../protocols/control/routes.ts';
import type { ErrorCode, RouteName } from '../../protocols/control/routes.ts';

/** What each error code tells a client. The API's documents are held to this table. */
export const ERROR_MEANINGS: Record<ErrorCode, string> = {
  invalid: 'The request is malformed; `field` says where',
  unauthorized: 'The token is missing or wrong',
  forbidden: 'The Host or Origin header is not acceptable, or the daemon may not do this',
  'not-found': 'Nobody and nothing is known by this name or id, or there is no such path',
  conflict: 'It contradicts what is there: a name that is taken, a key that has changed',
  'too-large': 'The body, or a line of the streaming send, is over the limit',
  locked: 'The daemon has forgotten its keys; `unlock` brings it back',
  'rate-limited': 'Too much in too short a time; try again later',
  internal: "A fault of the daemon's; its log says more",
  damaged: "Part of the store can't be read; what is whole still can, and `tincan doctor --repair` saves it",
  'disk-error': 'The disk reported an error, or may not be written; nothing was changed',
  unavailable: 'What it takes is out of reach now, or the daemon is stopping; try again later',
  timeout: 'It did not happen in the time given; a message is still on its way',
  'disk-full': 'There is no room on the disk; nothing was changed',
};

/** Errors any request can end with. */
const COMMON_ERRORS: readonly ErrorCode[] = [
  'invalid',
  'unauthorized',
  'forbidden',
  'locked',
  'internal',
  'damaged',
  'disk-error',
  'unavailable',
];

const json = (description: string, schema: z.ZodType) => ({
  description,
  content: { 'application/json': { schema } },
});

/**
 * Adds every operation of the contract to a server whose compilers are Zod's.
 *
 * @param signalOf makes a request's signal, which fires when its answer is no longer wanted
 */
export function addOperations(
  app: FastifyInstance,
  operations: ControlOperations,
  signalOf: (reply: FastifyReply) => AbortSignal,
): void {
  for (const name of Object.keys(routes) as RouteName[]) {
    const { method, path } = routes[name];
    const operation: Operation = contract[name];
    const { summary, params, query, body, response, status = 200 } = operation;
    const run = operations[name] as (input: object, options: { signal: AbortSignal }) => unknown;
    const errors = new Set([
      ...COMMON_ERRORS,
      ...(body ? (['too-large'] as const) : []),
      ...operation.errors,
    ]);
    app.route({
      method,
      url: path.replaceAll(/\{(\w+)\}/g, ':$1'),
      schema: {
        operationId: name,
        summary,
        ...(params && { params }),
        ...(query && { querystring: query }),
        ...(body && { body }),
        response: {
          [status]: json('Done', response),
          ...Object.fromEntries(
            Array.from(
              Map.groupBy(errors, (code) => ERROR_STATUS[code]),
              ([status, codes]) => [
                status,
                json(codes.map((code) => `\`${code}\`: ${ERROR_MEANINGS[code]}`).join('. '), ErrorBody),
              ],
            ),
          ),
        },
      },
      handler: async (request, reply) => {
        // Only what has a schema has been validated; the rest of the request is not for the daemon.
        const input = {
          ...(body && (request.body as object)),
          ...(query && (request.query as object)),
          ...(params && (request.params as object)),
        };
        const result = await run(input, { signal: signalOf(reply) });
        return reply.code(status).send(result);
      },
    });
  }
}
