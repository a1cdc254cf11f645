import { randomBytes } from 'node:crypto';
import { ControlError } from '../protocols/control/errors.ts';

/**
 * Where a reader of the event log stands, as the opaque text `<epoch>.<number>.<row>`.
 *
 * - `epoch`: random for each start of the daemon, as event numbers begin anew; `-` while messages are replayed from the
 *   store, when only the row counts
 * - `number`: how many events the reader has behind it in this epoch
 * - `row`: the store's row of the newest message the reader has behind it
 */
export interface EventCursor {
  epoch: string;
  number: number;
  row: number;
}

/** The epoch of a cursor that stands among messages being replayed from the store. */
export const REPLAY_EPOCH = '-';

/** 64 random bits: two starts of a daemon never share them, and they take 11 characters of each event. */
export function newEpoch(): string {
  return randomBytes(8).toString('base64url');
}

/** At most 15 digits, so that every number read is a safe integer. */
const CURSOR = /^(-|[\w-]{11})\.(\d{1,15})\.(\d{1,15})$/;

export function formatCursor(epoch: string, number: number, row: number): string {
  return `${epoch}.${number}.${row}`;
}

/** @throws ControlError `invalid` for what no daemon has handed out */
export function parseCursor(text: string): EventCursor {
  const match = CURSOR.exec(text);
  if (match === null) throw invalidCursor();
  return { epoch: match[1]!, number: Number(match[2]), row: Number(match[3]) };
}

export function invalidCursor(): ControlError {
  return new ControlError('invalid', 'this is not a cursor that an event carried', {
    field: 'after',
    hint: 'pass the cursor of the last event you have seen, or leave it out to begin now',
  });
}
