import type { FastifyError } from 'fastify';
import { ERROR_STATUS, OPENAPI_PATH } from '../../protocols/control/routes.ts';
import type { ErrorView } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';

/** Errors of Fastify's own that have a meaning beyond "the request is malformed". */
const FASTIFY_REFUSALS: Record<string, () => ControlError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new ControlError('too-large', 'the request body is too large', { field: 'body' }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new ControlError('invalid', 'this operation does not take this content type', {
      field: 'content-type',
      hint: 'send application/json, or application/x-ndjson to the streaming send',
    }),
  FST_ERR_CTP_EMPTY_JSON_BODY: () =>
    new ControlError('invalid', 'the body is empty though the content type is application/json', {
      field: 'body',
    }),
};

/** What is known by name of errors from below: the store's, a timer's, an aborted wait. */
function fromBelow(error: Error & { code?: unknown }): ControlError | undefined {
  if (error.name === 'StoreError' && error.code === 'disk-full') {
    return new ControlError('disk-full', 'the disk is full; nothing was changed', {
      hint: 'free some space and try again',
      cause: error,
    });
  }
  if (error.name === 'StoreError' && error.code === 'corrupt') {
    return new ControlError('damaged', "part of the daemon's store is damaged and can't be read", {
      hint: 'stop the daemon and run: tincan doctor --repair',
      cause: error,
    });
  }
  if (error.name === 'StoreError' && error.code === 'io') {
    return new ControlError(
      'disk-error',
      'the disk reported an error, or may not be written; nothing was changed',
      {
        hint: "see to the disk and try again; the daemon's log says more",
        cause: error,
      },
    );
  }
  if (error.name === 'StoreError' && error.code === 'closed') {
    return new ControlError('unavailable', 'the daemon is stopping', { cause: error });
  }
  if (error.name === 'TimeoutError') {
    return new ControlError('timeout', 'it took too long', { cause: error });
  }
  if (error.name === 'AbortError') {
    return new ControlError('unavailable', 'the daemon is stopping', { cause: error });
  }
  return undefined;
}

/**
 * What to answer for whatever was thrown. `internal` stands for everything unforeseen; its cause is for the log alone.
 */
export function refusal(thrown: unknown): ControlError {
  if (thrown instanceof ControlError) return thrown;
  const error: Error & Partial<FastifyError> =
    thrown instanceof Error ? thrown : new Error('not an error', { cause: thrown });
  const issue = error.validation?.[0];
  if (issue !== undefined) {
    const path = issue.instancePath.split('/').filter((part) => part !== '');
    const field = path.length > 0 ? path.join('.') : (error.validationContext ?? 'body');
    return new ControlError('invalid', `${field}: ${issue.message ?? 'invalid'}`, { field });
  }
  const known = fromBelow(error);
  if (known !== undefined) return known;
  const { code = '', statusCode = 500 } = error;
  const make = FASTIFY_REFUSALS[code];
  if (make !== undefined) return make();
  // What Fastify found wrong with a request before it reached us; its words are about the request alone.
  if (code.startsWith('FST_') && statusCode < 500) {
    return new ControlError('invalid', error.message, { field: 'body' });
  }
  return new ControlError('internal', 'something went wrong inside the daemon', {
    hint: "the daemon's log says more",
    cause: error,
  });
}

export function unknownRoute(method: string): ControlError {
  return new ControlError('not-found', `there is no ${method} at this path`, {
    hint: `${OPENAPI_PATH} lists what there is`,
  });
}

export function refusalStatus(error: ControlError): number {
  return ERROR_STATUS[error.code];
}

export function refusalBody({ code, message, field, hint }: ControlError): ErrorView {
  return { error: { code, message, field, hint } };
}
