import type { ErrorCode } from './routes.ts';

/**
 * What the daemon API answers when it could not do what was asked. Thrown by the daemon's operations, carried over
 * HTTP as `{error: {code, message, field, hint}}`, thrown again by the client.
 */
export class ControlError extends Error {
  override name = 'ControlError';
  readonly code: ErrorCode;
  /** Which part of the request was at fault. */
  readonly field: string | null;
  /** What to do about it. */
  readonly hint: string | null;

  constructor(
    code: ErrorCode,
    message: string,
    details: { field?: string; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.code = code;
    this.field = details.field ?? null;
    this.hint = details.hint ?? null;
  }
}
