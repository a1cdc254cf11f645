import { examine } from '../protocols/group-commit/doctor.ts';
import type { Diagnosis, DoctorOptions } from '../protocols/group-commit/doctor.ts';
import { mendNodeStore } from './store/mend.ts';
import type { ConversationLoss, NodeLosses } from './store/mend.ts';
import { migrate, NODE_STORE_VERSION } from './store/schema.ts';

const messages = (n: number): string => `${n.toLocaleString('en-GB')} message${n === 1 ? '' : 's'}`;

function describeConversation({ peer, name, own, undelivered, theirs }: ConversationLoss): string {
  const friend = name ?? peer;
  const parts = [
    ...(own > 0
      ? [
          `${own.toLocaleString('en-GB')} of yours${undelivered > 0 ? ` (${undelivered.toLocaleString('en-GB')} not delivered)` : ''}`,
        ]
      : []),
    ...(theirs > 0
      ? [`${theirs.toLocaleString('en-GB')} of theirs, which their node is asked for again`]
      : []),
  ];
  return `${messages(own + theirs)} of your conversation with ${friend} can't be read: ${parts.join(', ')}`;
}

function describe({ conversations, nobodys, chains, contacts }: NodeLosses): string[] {
  return [
    ...conversations.map(describeConversation),
    ...(nobodys > 0 ? [`${messages(nobodys)} of people whose peer id can't be read`] : []),
    ...(contacts > 0 ? [`${contacts} of your contacts`] : []),
    ...(chains > 0
      ? [
          `what was delivered in ${chains} run${chains === 1 ? '' : 's'} of messages, which friends' nodes will tell`,
        ]
      : []),
  ];
}

/** Looks a daemon's data directory over, and repairs its store if asked to. */
export function examineDaemon(dataDir: string, options: DoctorOptions): Promise<Diagnosis> {
  return examine(
    {
      dataDir,
      fileName: 'daemon.db',
      version: NODE_STORE_VERSION,
      migrate,
      mend: mendNodeStore,
      describe,
    },
    options,
  );
}
