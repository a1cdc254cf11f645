import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { examine } from '../protocols/group-commit/doctor.ts';
import type { Diagnosis, DoctorOptions } from '../protocols/group-commit/doctor.ts';
import { isHeld, versionIn } from '../protocols/group-commit/repair.ts';
import { DataKeyError, newDataKey } from './at-rest/data-key.ts';
import { keyStateOf, openOrCreateKeyFile, requireKeyFile } from './at-rest/key-file.ts';
import type { AskPassphrase } from './at-rest/key-file.ts';
import { rowSealer } from './at-rest/row-sealer.ts';
import { readIdentity } from './at-rest/sealed-identity.ts';
import { STORE_FILE } from './daemon-store.ts';
import { mendNodeStore } from './store/mend.ts';
import type { ConversationLoss, NodeLosses } from './store/mend.ts';
import { migrate, NODE_STORE_VERSION, SEALED_VERSION } from './store/schema.ts';
import { sealedColumns } from './store/sealed-columns.ts';

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

/** The data key; one made up where nothing is sealed, or nothing will be read. */
async function dataKeyOf(dataDir: string, repair: boolean, askPassphrase: AskPassphrase): Promise<Buffer> {
  const file = join(dataDir, STORE_FILE);
  if (isHeld(file)) return newDataKey();
  const state = keyStateOf(dataDir);
  if (state !== 'absent') return requireKeyFile(dataDir, await askPassphrase(state));
  const isSealed = existsSync(file) && (versionIn(file) ?? 0) >= SEALED_VERSION;
  if (isSealed) return requireKeyFile(dataDir, null);
  // A store that is made anew is sealed.
  return repair && existsSync(file) ? openOrCreateKeyFile(dataDir, await askPassphrase(state)) : newDataKey();
}

/**
 * Looks a daemon's data directory over, and repairs its store if asked to.
 *
 * @throws DataKeyError `wrong-passphrase`, and what `askPassphrase` throws
 */
export async function examineDaemon(
  dataDir: string,
  options: DoctorOptions,
  askPassphrase: AskPassphrase,
): Promise<Diagnosis> {
  let dataKey: Buffer;
  try {
    dataKey = await dataKeyOf(dataDir, options.repair, askPassphrase);
  } catch (error) {
    if (!(error instanceof DataKeyError) || error.code === 'wrong-passphrase') throw error;
    const todo = error.code === 'exposed' ? null : 'nothing else has it: put it back from a backup';
    const check = { ok: false, name: 'data key', detail: error.message, todo };
    return { store: join(dataDir, STORE_FILE), checks: [check], repair: null, ok: false };
  }
  const sealer = rowSealer(dataKey);
  dataKey.fill(0);
  const sealed = sealedColumns(sealer);
  return examine(
    {
      dataDir,
      fileName: STORE_FILE,
      version: NODE_STORE_VERSION,
      migrate: (database, version) => migrate(database, sealed, version),
      mend: (database) => mendNodeStore(database, sealed),
      describe,
      readIdentity: (file) => readIdentity(file, sealer),
    },
    options,
  );
}
