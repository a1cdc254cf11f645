import type { ControlClient } from '../protocols/control/client.ts';
import type { EventView, MessageView } from '../protocols/control/contract.ts';
import { chatOutbox } from './chat-outbox.ts';
import type { ChatOutbox } from './chat-outbox.ts';
import { followDaemon, isAbsence } from './daemon-events.ts';
import { displayName, shortPeerId } from './display.ts';
import { describeError } from './exit-code.ts';
import { authorOf, describeState, isOwn, messageLines } from './message-lines.ts';
import { describeKey } from './people.ts';
import { excerpt, safeLine } from './terminal-text.ts';

/** How much of the conversation is shown at its beginning: a screenful. */
const HISTORY_MESSAGES = 20;

/** One page when catching up after the daemon was away. */
const CATCH_UP_MESSAGES = 200;

/** Ids and texts remembered, to show nothing twice and to say which line was delivered. The oldest are forgotten. */
const REMEMBERED = 5000;

const EXCERPT_CHARS = 40;

/** Said where nothing was written yet: whether the other one's person knows us, their daemon tells nobody in advance. */
const NOT_MET =
  '-- who does not know you is asked with your first line; the next ones wait until you are accepted --';

export interface Partner {
  peerId: string;
  label: string;
  /** What the user called them by. */
  who: string;
  /** Nothing is sent to that: whose key it is has to be decided. */
  blocked: boolean;
}

export interface ChatSession {
  readonly partner: Partner | undefined;
  /** The daemon, while it is there. */
  readonly client: ControlClient | undefined;
  /** Whether anything the user asked for could not be done. */
  failed: boolean;
  readonly outbox: ChatOutbox;
  /** Queues a line for somebody and remembers it, so that its states can be told. */
  send(to: string, text: string): void;
  /** Turns to somebody and shows the conversation so far. */
  talkTo(who: string): Promise<void>;
  /** The own message that failed last. */
  lastFailed(): string | undefined;
}

export interface ChatSessionInit {
  dataDir: string;
  who: string | undefined;
  show: (line: string) => void;
  signal: AbortSignal;
  /** The daemon is there, and the conversation so far is shown: now the user may type. Called once. */
  onReady: (session: ChatSession) => void;
}

/**
 * A chat over the daemon's API: shows messages and what becomes of one's own, across restarts of the daemon. Resolves
 * when the signal fires.
 *
 * @throws {DaemonUnreachableError} when there is no daemon at the beginning
 * @throws {ControlError} when nobody is called `who`
 */
export async function runChatSession({
  dataDir,
  who,
  show,
  signal,
  onReady,
}: ChatSessionInit): Promise<void> {
  const shown = new Map<string, string>();
  const shownStates = new Map<string, MessageView['state']>();
  let partner: Partner | undefined;
  let client: ControlClient | undefined;
  let ready = false;
  let lastFailed: string | undefined;
  let unmarked: { who: string; upTo: string } | undefined;
  let marking = false;

  function remember(id: string, text: string): void {
    shown.set(id, excerpt(text, EXCERPT_CHARS));
    if (shown.size > REMEMBERED) shown.delete(shown.keys().next().value!);
  }

  function showMessages(messages: readonly MessageView[]): void {
    const fresh = messages.filter(({ id }) => !shown.has(id));
    for (const line of messageLines(fresh, new Date())) show(line);
    for (const { id, text } of fresh) remember(id, text);
    const theirs = fresh.findLast((message) => !isOwn(message));
    if (theirs !== undefined) markRead(theirs);
  }

  /** At most one request at a time; the newest message stands for those before it. */
  function markRead({ from, id }: MessageView): void {
    unmarked = { who: from, upTo: id };
    if (marking) return;
    marking = true;
    void (async () => {
      while (unmarked !== undefined) {
        if (client === undefined) return;
        const next = unmarked;
        unmarked = undefined;
        await client.call('markRead', next, { signal });
      }
    })()
      // Read or not is told again with the next message.
      .catch(() => {})
      .finally(() => {
        marking = false;
      });
  }

  /** Shows what was missed, from the newest message that was shown on. */
  async function catchUp(): Promise<void> {
    if (partner === undefined || client === undefined) return;
    const pages: MessageView[][] = [];
    let before: string | undefined;
    do {
      const page = await client.call(
        'history',
        { who: partner.peerId, limit: CATCH_UP_MESSAGES, before },
        { signal },
      );
      pages.unshift(page.messages);
      if (page.messages.some(({ id }) => shown.has(id))) break;
      before = page.next ?? undefined;
    } while (before !== undefined);
    showMessages(pages.flat());
  }

  /** The partner's key was verified, or put in question, or decided about. */
  async function lookAtKey(): Promise<void> {
    if (partner === undefined || client === undefined) return;
    const { who } = partner;
    try {
      const found = await client.call('verification', { who }, { signal });
      const isSame = found.peerId === partner.peerId;
      partner.blocked = found.blocked || !isSame;
      show(
        isSame
          ? `-- ${partner.label}, ${safeLine(found.peerId)}, ${describeKey(found)} --`
          : `! ${safeLine(who)} stands for another key now, ${safeLine(found.peerId)}: /connect ${safeLine(who)} to talk to that`,
      );
    } catch (error) {
      // A petname that is gone leads nowhere; the conversation goes on with whom it was begun.
      if (signal.aborted || isAbsence(error)) throw error;
    }
  }

  function showWaiting({ label }: Partner, waits: boolean): void {
    show(
      waits
        ? `-- ${label} has not accepted you yet: your messages wait here --`
        : `-- what waited here for ${label} goes on its way --`,
    );
  }

  const session: ChatSession = {
    get partner() {
      return partner;
    },
    get client() {
      return client;
    },
    failed: false,
    outbox: chatOutbox({
      signal,
      onTaken: ({ text }, { id, state, failure }) => {
        remember(id, text);
        if (state !== 'queued') showState([id], state, failure);
      },
      onRefused: ({ text }, error) => {
        session.failed = true;
        show(`! not sent: ${excerpt(text, EXCERPT_CHARS)}: ${safeLine(describeError(error))}`);
      },
    }),
    send(to, text) {
      session.outbox.push(to, text);
    },
    async talkTo(name) {
      if (client === undefined) throw new Error('the daemon is away');
      const found = await client.call('whois', { who: name }, { signal });
      partner = { peerId: found.peerId, label: displayName(found), who: name, blocked: found.blocked };
      if (found.warning !== null) show(`! ${safeLine(found.warning)}`);
      show(`-- ${partner.label}, ${safeLine(found.peerId)}, ${describeKey(found)} --`);
      const { messages } = await client.call(
        'history',
        { who: found.peerId, limit: HISTORY_MESSAGES },
        { signal },
      );
      for (const { id } of messages) shown.delete(id);
      showMessages(messages);
      if (found.waiting) showWaiting(partner, true);
      else if (messages.length === 0) show(NOT_MET);
    },
    lastFailed: () => lastFailed,
  };

  function showState(ids: readonly string[], state: MessageView['state'], failure: string | null): void {
    for (const id of ids) {
      const text = shown.get(id);
      if (text === undefined || shownStates.get(id) === state) continue;
      shownStates.set(id, state);
      if (shownStates.size > REMEMBERED) shownStates.delete(shownStates.keys().next().value!);
      if (state === 'failed') lastFailed = id;
      if (state !== 'queued') show(`   (${describeState(state, failure)}) ${text}`);
    }
  }

  async function onEvent(event: EventView): Promise<void> {
    switch (event.type) {
      case 'message': {
        const { message } = event;
        if (isOwn(message) && message.text === session.outbox.current?.text) {
          // The event has overtaken the answer to the line just typed.
          remember(message.id, message.text);
          break;
        }
        const other = isOwn(message) ? message.to : message.from;
        if (other === partner?.peerId) showMessages([message]);
        else if (!isOwn(message)) {
          show(`* ${authorOf(message)}: ${excerpt(message.text, EXCERPT_CHARS)}  (/connect to answer)`);
        }
        break;
      }
      case 'state':
        showState(event.ids, event.state, event.failure);
        break;
      case 'peer':
        if (event.peerId === partner?.peerId) {
          const how = { direct: 'is connected', relayed: 'is connected by relay' };
          show(
            `-- ${partner.label} ${event.connected === null ? 'is not connected' : how[event.connected]} --`,
          );
        }
        break;
      case 'warning':
        show(`! ${safeLine(event.message)}`);
        break;
      case 'request':
        if (event.change === 'received') show(`* ${displayName(event)} wants to write to you: /requests`);
        break;
      case 'contact':
        if (event.waiting !== undefined) {
          if (event.peerId === partner?.peerId) showWaiting(partner, event.waiting);
          break;
        }
        if (event.change !== 'changed') show(`-- friend ${event.change}: ${shortPeerId(event.peerId)} --`);
        if (event.peerId === partner?.peerId) await lookAtKey();
        break;
      case 'resync':
        await catchUp();
        break;
    }
  }

  for await (const item of followDaemon({ dataDir, signal })) {
    try {
      if (item.type === 'event') await onEvent(item.event);
      else if (item.type === 'lost') {
        client = undefined;
        await session.outbox.connect(undefined);
        show('-- the daemon is away; what you type waits for it --');
      } else {
        client = item.client;
        if (ready) {
          show('-- the daemon is back --');
          await session.outbox.connect(client);
          await catchUp();
        } else {
          if (who !== undefined) await session.talkTo(who);
          ready = true;
          await session.outbox.connect(client);
          onReady(session);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      // Away again in the middle of it: the next `opened` catches up.
      if (!ready || !isAbsence(error)) throw error;
    }
  }
}
