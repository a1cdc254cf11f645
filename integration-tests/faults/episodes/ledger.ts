import type { MessageView } from '../../../protocols/control/contract.ts';

/** What a message of the harness says about itself, so that nothing can pass for another. */
export interface Tag {
  from: string;
  to: string;
  /** Counts what its author wrote to this recipient, from 1. */
  number: number;
}

export function tagText({ from, to, number }: Tag, padding = ''): string {
  return `${from} to ${to} ${number}${padding === '' ? '' : ` ${padding}`}`;
}

/** The message that a text belongs to; undefined for a text that nobody here wrote. */
export function readTag(text: string): Tag | undefined {
  const match = /^(\w+) to (\w+) (\d+)(?: |$)/.exec(text);
  return match === null ? undefined : { from: match[1]!, to: match[2]!, number: Number(match[3]) };
}

/** What may follow each state of an own message. */
const FOLLOWS = {
  queued: ['queued', 'stored', 'delivered', 'read', 'failed'],
  stored: ['stored', 'delivered', 'read', 'failed'],
  delivered: ['delivered', 'read'],
  read: ['read'],
  failed: ['failed'],
} as const satisfies Record<string, readonly string[]>;

type State = keyof typeof FOLLOWS;

/** What became of a call to send, as its sender saw it. */
type Outcome = 'queued' | 'refused' | 'unknown';

interface Sending {
  text: string;
  outcome: Outcome;
  id?: string;
}

/**
 * What was promised during a run, and what was broken of it. It knows only what the people of the run were shown: nothing
 * from inside a program.
 */
export class Ledger {
  readonly #sendings = new Map<string, Sending>();
  readonly #states = new Map<string, State>();
  readonly #arrived = new Set<string>();
  readonly #violations = new Set<string>();

  /** What was broken, in words; empty when every promise was kept. */
  get violations(): readonly string[] {
    return [...this.#violations];
  }

  /** Messages that were taken on: their sender saw them as queued. */
  get queued(): number {
    return [...this.#sendings.values()].filter(({ outcome }) => outcome === 'queued').length;
  }

  violated(what: string): void {
    this.#violations.add(what);
  }

  /** Somebody is about to send. Until told otherwise, nobody knows what became of it. */
  sends(tag: Tag, text: string): void {
    this.#sendings.set(keyOf(tag), { text, outcome: 'unknown' });
  }

  /** The sender was told that the message is queued. */
  promised(tag: Tag, id: string): void {
    const sending = this.#sendings.get(keyOf(tag))!;
    sending.outcome = 'queued';
    sending.id = id;
  }

  /** The sender was told that nothing was sent. */
  refused(tag: Tag): void {
    this.#sendings.get(keyOf(tag))!.outcome = 'refused';
  }

  /** An own message is shown in a state. */
  shows(who: string, id: string, state: string): void {
    const before = this.#states.get(id) ?? 'queued';
    if (!(FOLLOWS[before] as readonly string[]).includes(state)) {
      this.violated(`${who} is shown ${id} as ${state} after ${before}`);
    }
    this.#states.set(id, state as State);
  }

  /** An event tells of a message from somebody else: each comes once. */
  arrives(who: string, message: MessageView): void {
    const { id, text } = message;
    const key = `${who} ${id}`;
    if (this.#arrived.has(key)) this.violated(`${who} is told twice of "${shorten(text)}"`);
    this.#arrived.add(key);
    this.#checkSource(who, message);
  }

  /** A page of a conversation as somebody is shown it, in reading order. */
  reads(who: string, other: string, page: readonly MessageView[]): void {
    const last = new Map<string, MessageView>();
    const seen = new Set<string>();
    for (const message of page) {
      const before = last.get(message.from);
      const title = `"${shorten(message.text)}"`;
      if (seen.has(message.id)) this.violated(`${who} is shown ${title} twice in one history`);
      seen.add(message.id);
      if (before !== undefined && message.seq <= before.seq) {
        this.violated(`${who} is shown ${title} behind "${shorten(before.text)}", out of order`);
      }
      if (before !== undefined && message.seq > before.seq + 1 && message.missing === 0) {
        this.violated(`${who} is shown ${title} without a word of the gap before it`);
      }
      last.set(message.from, message);
      const tag = readTag(message.text);
      if (tag?.from === other) this.#checkSource(who, message);
    }
  }

  /**
   * At the end, when everything has come to rest: what an author's history and the recipient's have of the messages
   * between them.
   */
  settles(from: string, to: string, sent: readonly MessageView[], received: readonly MessageView[]): void {
    this.#checkSent(from, to, sent);
    const failed = new Set(sent.filter(({ state }) => state === 'failed').map(({ id }) => id));
    const expected = sent.filter(({ id }) => !failed.has(id));
    const got = new Map(received.map((message) => [message.id, message]));
    for (const { id, text } of expected) {
      if (got.get(id)?.text !== text) this.violated(`${to} lacks "${shorten(text)}"`);
    }
    const order = received.map(({ id }) => id).filter((id) => !failed.has(id));
    if (order.join() !== expected.map(({ id }) => id).join()) {
      this.violated(`${to} has the messages of ${from} in another order, or others than were sent`);
    }
    for (const { text, missing } of received) {
      if (missing > 0)
        this.violated(`${to} is still told that ${missing} are missing before "${shorten(text)}"`);
    }
  }

  #checkSent(from: string, to: string, sent: readonly MessageView[]): void {
    const ids = new Set(sent.map(({ id }) => id));
    for (const [key, { outcome, id, text }] of this.#sendings) {
      if (!key.startsWith(`${from} to ${to} `)) continue;
      const kept = id === undefined ? sent.some((message) => message.text === text) : ids.has(id);
      if (outcome === 'queued' && !kept)
        this.violated(`${from} has lost "${shorten(text)}", which was queued`);
      if (outcome === 'refused' && kept)
        this.violated(`${from} was told that "${shorten(text)}" was not sent`);
    }
    let last = 0;
    for (const { id, text, state } of sent) {
      const number = readTag(text)?.number ?? 0;
      if (number <= last) this.violated(`${from} wrote "${shorten(text)}" before what is shown before it`);
      last = number;
      this.shows(from, id, state);
      if (state === 'queued' || state === 'stored') this.violated(`"${shorten(text)}" is still ${state}`);
    }
  }

  #checkSource(who: string, { from, text }: MessageView): void {
    const tag = readTag(text);
    const sending = tag === undefined ? undefined : this.#sendings.get(keyOf(tag));
    if (tag === undefined || sending === undefined || sending.text !== text || tag.to !== who) {
      this.violated(`${who} is shown "${shorten(text)}" from ${from}, which nobody sent`);
    } else if (sending.outcome === 'refused') {
      this.violated(`${who} is shown "${shorten(text)}", of which its sender was told that it was not sent`);
    }
  }
}

function keyOf({ from, to, number }: Tag): string {
  return `${from} to ${to} ${number}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
