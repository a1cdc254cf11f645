import { gunzipSync, gzipSync } from 'node:zlib';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { MessageView } from '../../../protocols/control/contract.ts';
import type { Daemon } from '../../harness/daemon.ts';

/** The programs whose data directories a release has. */
export const PLACES = ['bootstrap', 'ada', 'ben'] as const;

/** What a daemon's API says of what is in its store. */
export interface Seen {
  peerId: string;
  name: string | null;
  contacts: { peerId: string; petname: string | null; addedAt: string; unread: number }[];
  messages: Pick<
    MessageView,
    'id' | 'from' | 'to' | 'text' | 'sentAt' | 'state' | 'seq' | 'missing' | 'failure'
  >[];
}

/** `expected.json`: what the programs that made the stores said. */
export interface Expected {
  madeAtMs: number;
  ada: Seen;
  ben: Seen;
  /** Who owns the names, as the phonebook has it. */
  names: Record<string, string>;
  /** The text that waits for Ben in the mailbox. */
  waiting: string;
}

/** All that a daemon shows of one conversation and of its contacts. */
export async function seenBy({ client }: Daemon, who: string, signal: AbortSignal): Promise<Seen> {
  const { peerId, name } = await client.call('identity', {}, { signal });
  const { contacts } = await client.call('contacts', {}, { signal });
  const { messages } = await client.call('history', { who, limit: 1000 }, { signal });
  return {
    peerId,
    name,
    contacts: contacts.map(({ peerId, petname, addedAt, unread }) => ({ peerId, petname, addedAt, unread })),
    messages: messages.map(({ id, from, to, text, sentAt, state, seq, missing, failure }) => ({
      id,
      from,
      to,
      text,
      sentAt,
      state,
      seq,
      missing,
      failure,
    })),
  };
}

/** Whom a name belongs to, as a bootstrap node's phonebook says over HTTP. */
export async function ownerOf(name: string, http: string): Promise<string> {
  const answer = await fetch(`${http}/v1/peers/${name}`);
  return ((await answer.json()) as { peerId: string }).peerId;
}

/** Keeps the keys and the store of a data directory, small. */
export async function pack(dataDir: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of (await readdir(dataDir)).filter((name) => name.endsWith('.key')))
    await cp(join(dataDir, name), join(to, name));
  for (const name of (await readdir(dataDir)).filter((name) => name.endsWith('.db'))) {
    const database = new DatabaseSync(join(dataDir, name));
    database.exec('VACUUM');
    database.close();
    await writeFile(join(to, `${name}.gz`), gzipSync(await readFile(join(dataDir, name)), { level: 9 }));
  }
}

/** Makes a data directory of what `pack` has kept. */
export async function unpack(from: string, dataDir: string): Promise<void> {
  await rm(dataDir, { recursive: true, force: true });
  await mkdir(dataDir, { mode: 0o700 });
  for (const name of await readdir(from)) {
    const bytes = await readFile(join(from, name));
    const isPacked = name.endsWith('.gz');
    await writeFile(join(dataDir, name.replace(/\.gz$/, '')), isPacked ? gunzipSync(bytes) : bytes, {
      mode: 0o600,
    });
  }
}
