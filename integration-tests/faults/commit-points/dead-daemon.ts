import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { formatMessageId } from '../../../node/store/message-id.ts';
import { INCOMING } from '../../../node/store/direction.ts';
import type { MessageView } from '../../../protocols/control/contract.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Ledger } from '../episodes/ledger.ts';

/** Messages whose state is compared with the disk of somebody who died: those just sent. */
const LOOKED_AT = 20;

/**
 * Before somebody who died is started again: what the other is shown as delivered has to be on the dead one's disk. Behind
 * its back, as it can't be asked, and once it runs, it may get what it lacked.
 */
export async function checkDead(dead: Daemon, other: Daemon, who: string, ledger: Ledger): Promise<void> {
  const committed = await committedAt(dead.dataDir);
  for (const { from, id, state, text } of await lastShown(other, dead.peerId)) {
    const isDelivered = from !== dead.peerId && (state === 'delivered' || state === 'read');
    if (isDelivered && !committed.has(id))
      ledger.violated(`"${text}" is shown as ${state}, and ${who} died without having it on disk`);
  }
}

async function lastShown(daemon: Daemon, who: string): Promise<MessageView[]> {
  try {
    return (await daemon.client.call('history', { who, limit: LOOKED_AT })).messages;
  } catch {
    // Down as well.
    return [];
  }
}

/** Ids of the messages from others in a daemon's store. Looks at a copy: opening a database can change it. */
async function committedAt(dataDir: string): Promise<Set<string>> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-dead-'));
  try {
    for (const file of ['daemon.db', 'daemon.db-wal'])
      await cp(join(dataDir, file), join(folder, file), { force: true }).catch(() => undefined);
    const database = new DatabaseSync(join(folder, 'daemon.db'));
    try {
      const rows = database.prepare('SELECT id FROM messages WHERE direction = ?').all(INCOMING);
      return new Set(rows.map(({ id }) => formatMessageId(id as Uint8Array)));
    } finally {
      database.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
