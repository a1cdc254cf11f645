import type { DatabaseSync } from 'node:sqlite';
import type { OpenStore } from '../../protocols/group-commit/worker.ts';
import type { StoreClient } from '../../protocols/group-commit/client.ts';
import { openChains } from './chains.ts';
import { heldMessages } from './held.ts';
import { historyTable } from './history.ts';
import type { HistoryOperations } from './history.ts';
import { incomingTable } from './incoming.ts';
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
import { invitesTable } from './invites.ts';
import type { InvitesOperations } from './invites.ts';
import { requestsTable } from './requests.ts';
import type { RequestsOperations } from './requests.ts';
import { knownPeers, openStandings, standingsTable } from './standings.ts';
import type { StandingsOperations } from './standings.ts';
import type { StatesOperations } from './states.ts';
import { textsTable } from './texts.ts';
import type { TextsOperations } from './texts.ts';
import { verificationTable } from './verification.ts';
import type { VerificationOperations } from './verification.ts';

export type NodeOperations = Omit<OutgoingOperations, keyof RequestsOperations> &
  StatesOperations &
  RequestsOperations &
  StandingsOperations &
  InvitesOperations &
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
  const standings = openStandings(database, sealed);
  const isKnown = knownPeers(database);
  const outgoing = outgoingTable(database, sealed, chains);
  const people = peopleTable(database, sealed, chains);
  const requests = requestsTable(database, sealed, chains, standings, isKnown, {
    incoming: incomingTable(database, sealed, chains, held),
    outgoing,
    people,
  });
  return {
    database,
    operations: {
      ...outgoing,
      ...statesTable(database, sealed, chains),
      ...requests,
      ...standingsTable(database, chains, standings, isKnown),
      ...invitesTable(database, sealed, chains, standings, isKnown, requests['requests.accept']),
      ...historyTable(database, sealed, chains, held, onDamage),
      ...textsTable(database, sealed, chains, onDamage),
      ...people,
      ...verificationTable(database, sealed, chains),
      ...sessionsTable(database, sealed, chains, {
        receive: requests['messages.receive'],
        isKnown,
        isBlocked: standings.isBlocked,
      }),
      ...prekeysTable(database, sealed, chains),
    },
    rolledBack: () => {
      chains.forget();
      standings.rolledBack();
    },
  };
}
