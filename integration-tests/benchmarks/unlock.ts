import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { findDaemon } from '../../cli/daemon-address.ts';
import { untilLocked } from '../../cli/lock-state.ts';
import { openKeyFile } from '../../node/at-rest/key-file.ts';
import { openDaemonStore } from '../../node/daemon-store.ts';
import { messagesIn, unproved } from '../../node/store/store-fixture.ts';
import { decodeMessage } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import type { ControlClient } from '../../protocols/control/client.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { DaemonUnreachableError } from '../../protocols/control/exchange.ts';
import { randomFrom } from '../harness/random.ts';
import type { Figure } from './figure.ts';
import { openPrograms } from './programs.ts';

const MESSAGES = 100_000;
const FRIENDS = 20;

/** Messages of one transaction while the history is written. */
const BATCH = 1_000;

/** A vocabulary of this size, in which the n-th word is 1/n as frequent as the first, as in a language. */
const VOCABULARY = 20_000;

/** 3 to 22 words: 90 characters in the middle. */
const WORDS = { least: 3, more: 20 };
const LETTERS = 'etaoinshrdlucmfwypvbgkjqxz';

/** What was asked for, in milliseconds. */
const ASKED_MS = 2_000;
const PASSPHRASE = 'correct horse battery';

/** Between two looks at whether the daemon is back. */
const LOOK_MS = 5;

/** The same in every run. */
function sampleTexts(): string[] {
  const random = randomFrom(1);
  const below = (count: number): number => Math.floor(random() * count);
  const word = (): string =>
    Array.from({ length: 2 + below(9) }, () => LETTERS[below(LETTERS.length)]!).join('');
  const words = Array.from({ length: VOCABULARY }, word);
  const text = (): string =>
    Array.from(
      { length: WORDS.least + below(WORDS.more) },
      () => words[Math.floor(VOCABULARY ** random()) - 1]!,
    ).join(' ');
  return Array.from({ length: MESSAGES }, text);
}

/** A data directory in which these have been written to friends, and delivered. */
async function writeHistory(dataDir: string, texts: readonly string[]): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  const askPassphrase = (): Promise<string> => Promise.resolve(PASSPHRASE);
  const { store } = await openDaemonStore(dataDir, askPassphrase, (error) => {
    throw error;
  });
  for (let from = 0; from < texts.length;) {
    const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString();
    let last: ChatMessage | undefined;
    for (const end = from + MESSAGES / FRIENDS; from < end; from += BATCH) {
      const items = texts.slice(from, from + BATCH).map((text) => ({ peer, text }));
      const { frames } = await store.call('messages.send', { items, nowMs: Date.now() });
      last = decodeMessage(messagesIn(frames).at(-1)!);
    }
    const { chain, counter } = last!;
    await store.call('messages.acked', { peer, chain, ...unproved([{ first: 1, last: counter }]) });
  }
  const rows = await store.call('history.newest-row', undefined);
  if (rows !== MESSAGES) throw new Error(`the history has ${rows} messages`);
  await store.close();
}

/** Milliseconds from giving the passphrase to a locked daemon until a search finds whatever there is. */
async function unlockAndSearch(dataDir: string): Promise<number> {
  const { signal } = new AbortController();
  const locked = findDaemon(dataDir);
  const start = performance.now();
  await locked.call('unlock', { passphrase: PASSPHRASE }, { signal });
  locked.close();
  for (;;) {
    let client: ControlClient | undefined;
    try {
      client = findDaemon(dataDir);
      const { notIndexed } = await client.call('search', { q: 'tea' }, { signal });
      if (notIndexed === 0) return performance.now() - start;
    } catch (error) {
      const isBetween =
        error instanceof DaemonUnreachableError ||
        (error instanceof ControlError && ['unavailable', 'locked'].includes(error.code));
      if (!isBetween) throw error;
    } finally {
      client?.close();
    }
    await delay(LOOK_MS);
  }
}

/** Milliseconds in which the same texts go into an index, when nothing has to be opened, cut out or left responsive. */
function indexAll(texts: readonly string[]): number {
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE VIRTUAL TABLE texts USING fts5(text)');
  const insert = database.prepare('INSERT INTO texts VALUES (?)');
  const start = performance.now();
  database.exec('BEGIN');
  for (const text of texts) insert.run(text);
  database.exec('COMMIT');
  const took = performance.now() - start;
  database.close();
  return took;
}

/** A daemon with a long history that is locked and unlocked, until it can be searched. */
export async function unlockFigures(stack: AsyncDisposableStack): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const dataDir = join(folder, 'long-history');
  const texts = sampleTexts();
  await writeHistory(dataDir, texts);
  const passphraseFile = join(folder, 'passphrase');
  await writeFile(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o600 });

  const programs = stack.use(await openPrograms());
  await programs.daemon('long-history', undefined, [`--passphrase-file=${passphraseFile}`], dataDir);
  const lock = async (): Promise<void> => {
    const { signal } = new AbortController();
    const client = findDaemon(dataDir);
    await client.call('lock', {}, { signal });
    client.close();
    await untilLocked(dataDir, true, signal);
  };
  return [
    {
      name: `unlock until ${MESSAGES.toLocaleString('en')} messages can be searched, Argon2id included`,
      unit: 'ms',
      higherIsBetter: false,
      async ours() {
        await lock();
        return unlockAndSearch(dataDir);
      },
      floors: [
        {
          name: 'the same texts into a bare FTS5 table',
          run: () => Promise.resolve(indexAll(texts)),
          reach: null,
        },
        { name: 'what was asked for', run: () => Promise.resolve(ASKED_MS), reach: 1 },
      ],
    },
    {
      name: 'one run of Argon2id, 64 MiB',
      unit: 'ms',
      higherIsBetter: false,
      ours() {
        const start = performance.now();
        openKeyFile(dataDir, PASSPHRASE)!.fill(0);
        return Promise.resolve(performance.now() - start);
      },
      floors: [],
    },
  ];
}
