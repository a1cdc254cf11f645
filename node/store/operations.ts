import type { DatabaseSync } from 'node:sqlite';
import type { OpenStore } from '../../protocols/group-commit/worker.ts';
import type { StoreClient } from '../../protocols/group-commit/client.ts';
import { openChains } from './chains.ts';
import { heldMessages } from './held.ts';
import { historyTable } from './history.ts';
import type { HistoryOperations } from './history.ts';
import { incomingTable } from './incoming.ts';
import type { IncomingOperations } from './incoming.ts';
import { outgoingTable } from './outgoing.ts';
import type { OutgoingOperations } from './outgoing.ts';
import { peopleTable } from './people.ts';
import type { PeopleOperations } from './people.ts';
import type { SealedColumns } from './sealed-columns.ts';
import { statesTable } from './states.ts';
import { boundedStrangers } from './strangers.ts';
import type { StatesOperations } from './states.ts';
import { textsTable } from './texts.ts';
import type { TextsOperations } from './texts.ts';
import { verificationTable } from './verification.ts';
import type { VerificationOperations } from './verification.ts';

export type NodeOperations = OutgoingOperations &
  StatesOperations &
  IncomingOperations &
  HistoryOperations &
  TextsOperations &
  PeopleOperations &
  VerificationOperations;

/** The daemon's store, as its other parts hold it. */
export type NodeStore = Pick<StoreClient<NodeOperations>, 'call' | 'waiting'>;

/**
 * The operations on an open database with the schema in place.
 *
 * @param onDamage told when something can't be read, and the rest could
 */
export function nodeStore(
  database: DatabaseSync,
  sealed: SealedColumns,
  onDamage: (error: Error) => void = () => undefined,
): Omit<OpenStore, 'operations'> & { operations: NodeOperations } {
  const chains = openChains(database, sealed);
  const held = heldMessages(database, sealed);
  const strangers = boundedStrangers(database, chains, incomingTable(database, sealed, chains, held));
  return {
    database,
    operations: {
      ...outgoingTable(database, sealed, chains),
      ...statesTable(database, sealed, chains),
      ...strangers.operations,
      ...historyTable(database, sealed, chains, held, onDamage),
      ...textsTable(database, sealed, chains, onDamage),
      ...peopleTable(database, sealed, chains),
      ...verificationTable(database, sealed, chains),
    },
    rolledBack: () => {
      chains.forget();
      strangers.rolledBack();
    },
  };
}
