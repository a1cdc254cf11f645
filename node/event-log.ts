import type { EventView, MessageView } from '../protocols/control/contract.ts';
import { formatCursor, invalidCursor, newEpoch, parseCursor, REPLAY_EPOCH } from './event-cursor.ts';
import type { EventCursor } from './event-cursor.ts';

type WithoutCursor<T> = T extends unknown ? Omit<T, 'cursor'> : never;

/** A message for the log. Its view is made only when somebody reads it. */
export interface MessageEntry {
  type: 'message';
  /** Its row in the store. Rows are appended in ascending order. */
  row: number;
  /** About what the entry keeps in memory: the length of the text. */
  bytes: number;
  view: () => MessageView;
}

/** What the daemon appends: an event without its cursor, which the log gives it. */
export type EventEntry =
  | MessageEntry
  | WithoutCursor<Exclude<EventView, { type: 'message' } | { type: 'resync' }>>;

export interface StoredMessage {
  message: MessageView;
  row: number;
}

export interface EventLogInit {
  /** Up to `limit` messages whose store row is above `row`, in ascending order of rows. */
  messagesAfter: (row: number, limit: number) => Promise<StoredMessage[]>;
  /** The newest message's row at the time the log is made, 0 if there is none. */
  nowRow: number;
  /** How many events are kept for readers that come back, default 10,000. */
  maxEvents?: number;
  /** How many bytes these may take, about, default 16 MiB. */
  maxBytes?: number;
}

export interface SubscribeOptions {
  /** The cursor of the last event seen; without it the reader begins with the next event. */
  after?: string | undefined;
  signal: AbortSignal;
}

/** The daemon's only source of events, and what the API replays. */
export interface EventLog {
  /** Adds an event. Costs under a microsecond: readers are woken once per turn of the event loop. */
  append: (entry: EventEntry) => void;
  /** The cursor of the newest event: where a reader that begins now stands. */
  cursor: () => string;
  /**
   * Every event after a cursor, and then every new one, in batches that are never empty. Where events between are no
   * longer kept, a `resync` event comes first and then all messages since, from the store. Each message comes once and
   * in order, whenever the reader goes away and comes back. Ends when the signal fires.
   *
   * A slow reader costs no memory: it reads from the log by position, and resyncs when it has fallen behind.
   *
   * @throws ControlError `invalid`, at the call, for a cursor that the log has not handed out
   */
  subscribe: (options: SubscribeOptions) => AsyncIterable<EventView[]>;
}

/**
 * Ten seconds of a bot's work at a thousand messages a second, hours of a person's: a client that reconnects at once
 * finds everything, one that was away for long gets its messages from the store.
 */
const MAX_EVENTS = 10_000;

/** 10,000 events with 1.6 KiB of text each. */
const MAX_BYTES = 16 * 1024 * 1024;

/** What an event keeps in memory beside its text: the object, its slot, ids. Measured at 150 to 300 bytes. */
const EVENT_BYTES = 256;

/** An id in a `state` event: 36 characters and a pointer. */
const ID_BYTES = 64;

/** The most events a reader gets at once: large enough that a batch is one write, small enough (12 MiB at worst) to hold. */
const BATCH_EVENTS = 256;

function entryBytes(entry: EventEntry): number {
  if (entry.type === 'message') return EVENT_BYTES + entry.bytes;
  if (entry.type === 'state') return EVENT_BYTES + ID_BYTES * entry.ids.length;
  if (entry.type === 'warning') return EVENT_BYTES + entry.message.length;
  return EVENT_BYTES;
}

/**
 * The one event log of a daemon, in memory and bounded. Made when the store is open and before anything is appended
 * to it, so that `nowRow` is exact.
 *
 * @example
 * ```ts
 * const events = eventLog({ nowRow: await store.call('newestRow', {}), messagesAfter })
 * events.append({ type: 'message', row, bytes: text.length, view: () => messageView(row) })
 * for await (const batch of events.subscribe({ after, signal })) …
 * ```
 */
export function eventLog({
  messagesAfter,
  nowRow,
  maxEvents = MAX_EVENTS,
  maxBytes = MAX_BYTES,
}: EventLogInit): EventLog {
  const epoch = newEpoch();
  /** Event `n` (from 1) is in slot `n % maxEvents`, together with the row its cursor names and its size. */
  const entries = Array.from<EventEntry | undefined>({ length: maxEvents });
  const rows = new Float64Array(maxEvents);
  const sizes = new Float64Array(maxEvents);
  let newest = 0;
  let oldest = 1;
  let bytes = 0;
  let newestRow = nowRow;
  let sleepers: (() => void)[] = [];
  let waking = false;

  const wakeAll = (): void => {
    waking = false;
    const awake = sleepers;
    sleepers = [];
    for (const wake of awake) wake();
  };

  const dropOldest = (): void => {
    const slot = oldest % maxEvents;
    bytes -= sizes[slot]!;
    entries[slot] = undefined;
    oldest++;
  };

  const leavesNoRoomFor = (size: number): boolean =>
    oldest <= newest && (newest - oldest + 1 >= maxEvents || bytes + size > maxBytes);

  const append = (entry: EventEntry): void => {
    const size = entryBytes(entry);
    while (leavesNoRoomFor(size)) dropOldest();
    if (entry.type === 'message') newestRow = Math.max(newestRow, entry.row);
    newest++;
    const slot = newest % maxEvents;
    entries[slot] = entry;
    rows[slot] = newestRow;
    sizes[slot] = size;
    bytes += size;
    if (waking || sleepers.length === 0) return;
    waking = true;
    setImmediate(wakeAll);
  };

  const view = (number: number): EventView => {
    const slot = number % maxEvents;
    const entry = entries[slot]!;
    const cursor = formatCursor(epoch, number, rows[slot]!);
    return entry.type === 'message'
      ? { type: 'message', cursor, message: entry.view() }
      : { ...entry, cursor };
  };

  /** Messages above `row` up to what the log holds now, then the live cursor that continues behind them. */
  async function* replay(
    row: number,
    reason: 'restarted' | 'overflow',
    at: { number: number; row: number },
  ): AsyncGenerator<EventView[], void, undefined> {
    let last = row;
    let batch: EventView[] = [];
    for (let first = true; ; first = false) {
      const page = await messagesAfter(last, BATCH_EVENTS);
      // What is above has its own event after `at`.
      const due = page.filter((stored) => stored.row <= at.row);
      const done = due.length < BATCH_EVENTS || due.at(-1)!.row === at.row;
      const live = formatCursor(epoch, at.number, at.row);
      if (first) {
        const cursor = done && due.length === 0 ? live : formatCursor(REPLAY_EPOCH, 0, row);
        batch.push({ type: 'resync', cursor, reason });
      }
      for (const [index, { message, row }] of due.entries()) {
        const cursor = done && index === due.length - 1 ? live : formatCursor(REPLAY_EPOCH, 0, row);
        batch.push({ type: 'message', cursor, message });
        last = row;
      }
      if (batch.length > 0) yield batch;
      if (done) return;
      batch = [];
    }
  }

  async function* read(from: EventCursor, signal: AbortSignal): AsyncGenerator<EventView[], void, undefined> {
    let { number, row } = from;
    let lost: 'restarted' | 'overflow' | undefined;
    if (from.epoch === REPLAY_EPOCH) lost = 'overflow';
    else if (from.epoch !== epoch) lost = 'restarted';
    while (!signal.aborted) {
      if (lost === undefined && number + 1 < oldest) lost = 'overflow';
      if (lost !== undefined) {
        const at = { number: newest, row: newestRow };
        for await (const batch of replay(row, lost, at)) {
          yield batch;
          if (signal.aborted) return;
        }
        ({ number, row } = at);
        lost = undefined;
      } else if (number < newest) {
        const end = Math.min(newest, number + BATCH_EVENTS);
        const batch: EventView[] = [];
        while (number < end) batch.push(view(++number));
        row = rows[end % maxEvents]!;
        yield batch;
      } else {
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            signal.removeEventListener('abort', abandon);
            resolve();
          };
          const abandon = (): void => {
            sleepers = sleepers.filter((sleeper) => sleeper !== wake);
            resolve();
          };
          sleepers.push(wake);
          signal.addEventListener('abort', abandon, { once: true });
        });
      }
    }
  }

  return {
    append,
    cursor: () => formatCursor(epoch, newest, newestRow),
    subscribe: ({ after, signal }) => {
      if (after === undefined) return read({ epoch, number: newest, row: newestRow }, signal);
      const from = parseCursor(after);
      if (from.epoch === epoch && from.number > newest) throw invalidCursor();
      return read(from, signal);
    },
  };
}
