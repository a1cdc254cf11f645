import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ErrorBody, Event, SendLine, SendLineAnswer } from '../../protocols/control/contract.ts';
import { EVENTS_PATH, OPENAPI_PATH, SEND_STREAM_PATH } from '../../protocols/control/routes.ts';

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): object => {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
};

const refusals = (): object => ({
  description: 'Refused before the stream began, as any other operation',
  content: { 'application/json': { schema: schemaOf(ErrorBody, 'output') } },
});

/** The two operations that stream, which no schema of a request and an answer describes. */
function streamPaths(): Record<string, object> {
  return {
    [EVENTS_PATH]: {
      get: {
        operationId: 'events',
        summary: 'What happens, as it happens',
        description:
          'Server-sent events. `id` is the cursor of each, `data` the event as JSON, which the schema describes. ' +
          'Comes back with `after` or Last-Event-ID (which wins) and misses nothing. A comment comes every 15 s.',
        parameters: [
          {
            in: 'query',
            name: 'after',
            required: false,
            description: 'The cursor of the last event seen; without it events begin now',
            schema: { type: 'string', maxLength: 200 },
          },
          {
            in: 'header',
            name: 'Last-Event-ID',
            required: false,
            description: 'The same, as browsers send it when they reconnect',
            schema: { type: 'string', maxLength: 200 },
          },
        ],
        responses: {
          200: {
            description: 'Events, until the client leaves or the daemon stops',
            content: { 'text/event-stream': { schema: schemaOf(Event, 'output') } },
          },
          default: refusals(),
        },
      },
    },
    [SEND_STREAM_PATH]: {
      post: {
        operationId: 'sendStream',
        summary: 'Send many messages over one request',
        description:
          'Newline-delimited JSON both ways, at the same time: each line sent is a message, each line answered a state ' +
          'that one of them reached, or its refusal. Ends when the client has ended its side and every message has ' +
          'reached `until`, failed, or was refused.',
        parameters: [
          {
            in: 'query',
            name: 'until',
            required: false,
            description: 'The state up to which each message is reported on',
            schema: { type: 'string', enum: ['queued', 'stored', 'delivered'], default: 'delivered' },
          },
        ],
        requestBody: {
          required: true,
          content: { 'application/x-ndjson': { schema: schemaOf(SendLine, 'input') } },
        },
        responses: {
          200: {
            description: 'One line per state and message, or per refusal',
            content: { 'application/x-ndjson': { schema: schemaOf(SendLineAnswer, 'output') } },
          },
          default: refusals(),
        },
      },
    },
  };
}

/** Serves the OpenAPI 3.1 document of all routes added to `app` after this call. Made when first asked for. */
export async function addOpenapi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tincan daemon',
        version,
        description:
          'The API of the daemon on this machine: every operation of the `tincan` command, and two streams.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject;
      const { openapiObject } = document;
      return { ...openapiObject, paths: { ...openapiObject.paths, ...streamPaths() } };
    },
  });
  app.get(OPENAPI_PATH, { schema: { hide: true } }, () => app.swagger());
}
