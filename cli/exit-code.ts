import { ControlError } from '../protocols/control/errors.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import type { ErrorCode } from '../protocols/control/routes.ts';

/** What the `tincan` command ends with; `tincan --help` prints this table. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  noDaemon: 3,
  notFound: 4,
  timeout: 5,
} as const;

export const EXIT_HELP = `
Exit codes:
  0  done
  1  failed
  2  wrong usage: a flag, an argument or the configuration
  3  no daemon is running
  4  not found: nobody and nothing by that name
  5  timed out`;

/** The user asked for something that can't be: a flag, an argument or a line of the configuration. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Ends the command with a message and an exit code of its own. */
export class CommandError extends Error {
  override name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

const CODE_EXITS: Partial<Record<ErrorCode, number>> = {
  invalid: EXIT.usage,
  'not-found': EXIT.notFound,
  timeout: EXIT.timeout,
};

/** The exit code that an error ends the command with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof DaemonUnreachableError) return EXIT.noDaemon;
  if (error instanceof ControlError) return CODE_EXITS[error.code] ?? EXIT.failed;
  return EXIT.failed;
}

/** An error in one or two lines for a person. */
export function describeError(error: unknown): string {
  if (error instanceof ControlError && error.hint !== null) return `${error.message}\n${error.hint}`;
  if (error instanceof Error) return error.message === '' ? error.name : error.message;
  return String(error);
}
