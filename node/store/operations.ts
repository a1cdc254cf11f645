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
import { prekeysTable } from './prekeys.ts';
import type { PrekeysOperations } from './prekeys.ts';
import type { SealedColumns } from './sealed-columns.ts';
import { sessionsTable } from './sessions.ts';
import type { SessionsOperations } from './sessions.ts';
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
  SessionsOperations &
  PrekeysOperations &
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
  const selectKnown = database.prepare(
    'SELECT 1 FROM contacts WHERE peer = ?1 UNION ALL SELECT 1 FROM chains WHERE peer = ?1 LIMIT 1',
  );
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
      ...sessionsTable(database, sealed, chains, {
        receive: strangers.operations['messages.receive'],
        isKnown: (peer) => selectKnown.get(peer) !== undefined,
        isBlocked: () => false,
      }),
      ...prekeysTable(database, sealed, chains),
    },
    rolledBack: () => {
      chains.forget();
      strangers.rolledBack();
    },
  };
}
