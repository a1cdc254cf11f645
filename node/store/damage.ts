import { decodeMessage } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import { StoreError, storeErrorCode } from '../../protocols/group-commit/operations.ts';

/** Whether an error says that what is on disk is not what was written. */
export function isDamage(error: unknown): boolean {
  return storeErrorCode(error) === 'corrupt';
}

/** A message that was checked before it was stored. @throws StoreError `corrupt` */
export function decodeStored(body: Uint8Array): ChatMessage {
  try {
    return decodeMessage(body);
  } catch (error) {
    throw new StoreError(`a message can't be read: ${(error as Error).message}`, 'corrupt', { cause: error });
  }
}

/** A row that other rows refer to. @throws StoreError `corrupt` when it is not there */
export function storedRow<Row>(row: object | undefined, what: string): Row {
  if (row === undefined) throw new StoreError(`${what} is not there`, 'corrupt');
  return row as Row;
}

/** What a row has; undefined where it is damaged, for rows without which all goes on as if they were lost. */
export function unlessDamaged<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}
