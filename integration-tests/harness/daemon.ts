import { findDaemon } from '../../cli/daemon-address.ts';
import type { ControlClient } from '../../protocols/control/client.ts';
import type { MessageView } from '../../protocols/control/contract.ts';
import type { Program } from './program.ts';
import { waitFor } from './wait-for.ts';

type State = 'queued' | 'stored' | 'delivered' | 'read' | 'failed';

const PROGRESS: Record<State, number> = { failed: -1, queued: 0, stored: 1, delivered: 2, read: 3 };

/** How long `send` waits for a state. */
const SEND_MS = 30_000;

/** Somebody's daemon, and what tests do with it most. */
export interface Daemon {
  program: Program;
  dataDir: string;
  readonly peerId: string;
  /** Of the process that runs now. */
  readonly client: ControlClient;
  /** Sends, waits for the state, and returns the message's id. */
  send(to: string, text: string, wait?: 'queued' | 'stored' | 'delivered'): Promise<string>;
  /** All messages from others, in the order they arrived. */
  inbox(): Promise<MessageView[]>;
  /** Waits until at least this many messages are in the inbox, and returns the texts of all. */
  texts(count: number): Promise<string[]>;
  /** Waits until an own message has one of the states. */
  reached(id: string, ...states: State[]): Promise<void>;
  /** Waits until a bootstrap node is connected, the first one unless said. */
  connected(index?: number): Promise<void>;
  /** Waits until somebody can be looked up, and returns the peer id. */
  knows(who: string): Promise<string>;
  /** Closes what the test holds open. */
  release(): void;
}

/** Makes contacts of two who have not met. */
export async function befriend(one: Daemon, other: Daemon): Promise<void> {
  if (one.peerId === other.peerId) return;
  await Promise.all([
    one.client.call('addContact', { who: other.peerId }),
    other.client.call('addContact', { who: one.peerId }),
  ]);
}

export function daemonOf(program: Program, dataDir: string, signal: AbortSignal): Daemon {
  let client: ControlClient | undefined;
  let clientOf = 0;

  const self: Daemon = {
    program,
    dataDir,
    get peerId() {
      return program.ready.peerId;
    },
    get client() {
      if (client === undefined || clientOf !== program.pid) {
        client?.close();
        client = findDaemon(dataDir);
        clientOf = program.pid;
      }
      return client;
    },

    async send(to, text, wait = 'queued') {
      const { id, state, failure } = await self.client.call(
        'send',
        { to, text, wait, timeoutMs: SEND_MS },
        { signal },
      );
      if (PROGRESS[state] < PROGRESS[wait]) {
        throw new Error(
          `a message of ${program.label} is ${state}, not ${wait}: ${failure ?? 'no reason given'}`,
        );
      }
      return id;
    },

    async inbox() {
      const found: MessageView[] = [];
      for (let after: string | undefined; ;) {
        const page = await self.client.call('inbox', { limit: 1000, after }, { signal });
        found.push(...page.messages);
        if (page.next === null) return found;
        after = page.next;
      }
    },

    async texts(count) {
      let seen: MessageView[] = [];
      await waitFor(
        `${count} messages at ${program.label}`,
        async () => {
          seen = await self.inbox();
          return seen.length >= count;
        },
        { signal },
      ).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}; there are ${seen.length}`, { cause: error });
      });
      return seen.map(({ text }) => text);
    },

    async reached(id, ...states) {
      let state = 'unknown';
      await waitFor(
        `a message of ${program.label} to be ${states.join(' or ')}`,
        async () => {
          const message = await self.client.call('message', { id }, { signal });
          state = message.state;
          return (states as string[]).includes(state);
        },
        { signal },
      ).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}; it is ${state}`, { cause: error });
      });
    },

    async connected(index = 0) {
      await waitFor(
        `${program.label} to be connected to its bootstrap node`,
        async () =>
          (await self.client.call('status', {}, { signal })).bootstrap[index]?.state === 'connected',
        { signal },
      );
    },

    async knows(who) {
      return waitFor(
        `${program.label} to find ${who}`,
        async () => (await self.client.call('whois', { who }, { signal })).peerId,
        { signal },
      );
    },

    release() {
      client?.close();
    },
  };
  return self;
}
