import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@libp2p/interface';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import type { StoredMessage } from '../store/history.ts';
import type { NodeStore } from '../store/operations.ts';
import type { MessageIndex } from './message-index.ts';
import { matchesIn, wordsOf } from './words.ts';
import type { TextRange } from './words.ts';

/**
 * Rows read and indexed at a time, fewer where texts are long: 3 ms of work, so that nobody notices what goes on beside it.
 */
const SLICE_ROWS = 256;

/**
 * Between two slices of what is committed while the daemon runs: a hundredth of a processor. Whoever searches does not
 * wait for these: then the rest is indexed at once.
 */
const REST_MS = 300;

/**
 * How long a search waits for the index. A history of half a million messages is ready by then; with a longer one, just
 * after the start, it answers with what there is and says so.
 */
const WAIT_MS = 5_000;

/** Characters in which matches are looked for before others get their turn: a few milliseconds. */
const TURN_CHARS = 64 * 1024;

/** Words of one query. More of them make a query longer, and its answer no better. */
export const MAX_WORDS = 16;

export interface SearchQuery {
  /** What a person typed. */
  text: string;
  /** Peer id: only what was written to or by them. */
  peer?: string;
  /** Only rows before this one. */
  before?: number;
  limit: number;
}

export interface Found {
  message: StoredMessage;
  /** Where in its text the words are. */
  matches: TextRange[];
}

export interface SearchAnswer {
  /** The newest first, in the order in which they were committed here. */
  found: Found[];
  /** The `before` of the next page; null at the end. */
  next: number | null;
  /** Messages that no search finds yet. */
  notIndexed: number;
}

/** The query has no words, or too many: nothing was looked for. */
export class SearchQueryError extends Error {
  override name = 'SearchQueryError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** Search over a history that is sealed on the disk: an index in memory, made anew at each start. */
export interface Search {
  /** Indexes all there is, then what comes, until the signal fires. */
  run(): Promise<void>;
  /** Messages were committed: they are indexed before long. Costs nothing. */
  committed(): void;
  /**
   * Finds the messages that have all words of a query, or words that begin with them, whatever their accents and capitals.
   *
   * @throws SearchQueryError
   * @throws StoreError when the store can't be read now
   */
  find(query: SearchQuery, options: { signal: AbortSignal }): Promise<SearchAnswer>;
}

export interface SearchInit {
  store: Pick<NodeStore, 'call'>;
  /** Closed by whoever opened it, when nothing runs any more. */
  index: Pick<MessageIndex, 'add' | 'find'>;
  log: Logger;
  /** Default: the clock's own, for tests. */
  restMs?: number;
  waitMs?: number;
  signal: AbortSignal;
}

export function searchService(init: SearchInit): Search {
  const { store, index, log, signal, restMs = REST_MS, waitMs = WAIT_MS } = init;
  /** All up to this row is in the index. */
  let indexedTo = 0;
  let newestRow = Infinity;
  let atWork: Promise<void> | undefined;
  let news = Promise.withResolvers<void>();

  const work = async (): Promise<void> => {
    const upTo = indexedTo + SLICE_ROWS;
    const slice = await store.call('texts.read', { after: indexedTo, upTo });
    if (signal.aborted) return;
    index.add(slice.texts);
    ({ newestRow, readTo: indexedTo } = slice);
  };

  /** One slice further; whoever asks for it while it is made waits for the same. */
  const advance = (): Promise<void> =>
    (atWork ??= work().finally(() => {
      atWork = undefined;
    }));

  const indexUpTo = async (row: () => number, until: AbortSignal): Promise<void> => {
    while (indexedTo < row() && !until.aborted) {
      await advance();
      await nextTurn();
    }
  };

  return {
    committed: () => news.resolve(),

    async run() {
      signal.addEventListener('abort', () => news.resolve(), { once: true });
      const rest = (): Promise<unknown> => delay(restMs, undefined, { signal }).catch(() => undefined);
      /** What the store can't give now, it is asked for again. */
      const patiently = async (act: () => Promise<void>): Promise<void> => {
        while (!signal.aborted) {
          try {
            await act();
            return;
          } catch (error) {
            if (!(error instanceof StoreError)) throw error;
            log('not indexed now: %s', error.message);
            await rest();
          }
        }
      };
      const startedMs = performance.now();
      // What arrives meanwhile is not chased: whoever starts has a mailbox to empty, and a search catches up by itself.
      let newestAtStart = Infinity;
      await patiently(() =>
        indexUpTo(() => {
          newestAtStart = Math.min(newestAtStart, newestRow);
          return newestAtStart;
        }, signal),
      );
      log('indexed %d messages in %d ms', indexedTo, Math.round(performance.now() - startedMs));
      while (!signal.aborted) {
        await news.promise;
        news = Promise.withResolvers();
        do {
          await rest();
          await patiently(advance);
          if (signal.aborted) return;
        } while (indexedTo < newestRow);
      }
    },

    async find({ text, peer, before, limit }, options) {
      const words = wordsOf(text);
      if (words.length === 0)
        throw new SearchQueryError('there is nothing to look for in it', 'give a word, or its beginning');
      if (words.length > MAX_WORDS)
        throw new SearchQueryError(`a search takes at most ${MAX_WORDS} words`, 'leave some out');
      const newest = await store.call('history.newest-row', undefined);
      const late = AbortSignal.timeout(waitMs);
      await indexUpTo(() => newest, AbortSignal.any([late, signal, options.signal]));
      options.signal.throwIfAborted();
      signal.throwIfAborted();
      const rows = index.find({
        words,
        limit,
        ...(peer !== undefined && { peer }),
        ...(before !== undefined && { before }),
      });
      const messages = await store.call('history.rows', { rows });
      const found: Found[] = [];
      let chars = 0;
      for (const message of messages) {
        found.push({ message, matches: matchesIn(message.text, words) });
        chars += message.text.length;
        if (chars < TURN_CHARS) continue;
        chars = 0;
        await nextTurn();
      }
      return {
        found,
        next: rows.length < limit ? null : rows.at(-1)!,
        notIndexed: Math.max(0, newest - indexedTo),
      };
    },
  };
}
