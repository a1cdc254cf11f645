import { setImmediate as turn } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { encodeBundle } from '../protocols/chat/protocol.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import type { HeldPrekey } from '../protocols/mailbox/prekey-frames.ts';
import { openPrekey } from '../protocols/mailbox/prekey.ts';
import type { PrekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import { fakeClock, quiet, silentLog } from './delivery/delivery-fixture.ts';
import type { FakeClock } from './delivery/delivery-fixture.ts';
import { delivery as createDelivery } from './delivery/delivery.ts';
import type { Delivery } from './delivery/delivery.ts';
import { mailboxIntake } from './mailbox-intake.ts';
import { outgoingSessions } from './outgoing-sessions.ts';
import type { OutgoingSessions } from './outgoing-sessions.ts';
import { peerIdOf } from './peer-ids.ts';
import { person } from './phonebook-fixture.ts';
import type { Person } from './phonebook-fixture.ts';
import { prekeyExchange } from './prekey-exchange.ts';
import { prekeyUpkeep } from './prekey-upkeep.ts';
import type { PrekeyUpkeep } from './prekey-upkeep.ts';
import { testStore } from './store/store-fixture.ts';
import type { TestStore } from './store/store-fixture.ts';

/** Everybody knows everybody. */
const NOBODY_ASKS = {
  acquaintances: {
    beforeSending: () => undefined,
    requested: () => undefined,
    keepsUsWaiting: () => false,
    decisions: {
      inviteToken: async () => undefined,
      depositCapability: async () => undefined,
      pending: async () => undefined,
    },
  },
};

/** As long as anything here takes on a busy machine. */
const PATIENCE_MS = 20_000;

/** A mailbox that keeps what it is given, and can be looked into. */
export interface FakeMailbox {
  blobs: Blob[];
  oneTime: HeldPrekey[];
  lastResort: HeldPrekey | undefined;
  /** Prekeys that were published at once. */
  publications: { oneTime: number; replace: boolean }[];
  /** What it answers to a publication, after it has done it. */
  afterPublishing: () => void;
}

/** Somebody's daemon as far as mail goes: it reaches others by their mailboxes only. */
export interface MailNode extends Person {
  store: TestStore;
  mailbox: FakeMailbox;
  readonly delivery: Delivery;
  readonly sessions: OutgoingSessions;
  readonly upkeep: PrekeyUpkeep;
  readonly log: string[];
  /** Writes a message. */
  write(to: MailNode, text: string): Promise<void>;
  /** Looks after its prekeys, as it does when its mailbox is connected. */
  connect(): Promise<void>;
  /** Takes what is in its mailbox. */
  drain(): Promise<void>;
  /** Texts that came, in the order of their arrival. */
  texts(): string[];
  /** Nothing that it wrote to somebody is on its way. */
  isDelivered(to: MailNode): boolean;
  /** Forgets all that is in memory, as the end of the process does; the store may be another meanwhile. */
  restart(): void;
  stop(): void;
}

export interface Post {
  clock: FakeClock;
  node(): Promise<MailNode>;
  /** Everybody fetches their mail, again and again, until something is so. */
  until(condition: () => boolean): Promise<void>;
}

/** Waits for something that comes by itself. */
export async function eventually(condition: () => boolean): Promise<void> {
  const from = performance.now();
  while (!condition()) {
    if (performance.now() - from > PATIENCE_MS) throw new Error('it did not come about');
    await turn();
  }
}

export function openPost(t: TestContext): Post {
  const clock = fakeClock();
  const nodes: MailNode[] = [];
  t.after(async () => {
    for (const each of nodes) each.stop();
    await quiet();
    for (const { store } of nodes) store.close();
  });

  const clientOf = (mailbox: FakeMailbox): PrekeysClient => ({
    async publish({ oneTime = [], lastResort, replace = false }) {
      if (replace) {
        mailbox.oneTime = [];
        mailbox.lastResort = undefined;
      }
      mailbox.publications.push({ oneTime: oneTime.length, replace });
      mailbox.oneTime.push(...oneTime);
      mailbox.lastResort = lastResort ?? mailbox.lastResort;
      mailbox.afterPublishing();
      return { left: mailbox.oneTime.length };
    },
    async take() {
      const prekey = mailbox.oneTime.shift() ?? mailbox.lastResort;
      if (prekey === undefined) throw new MailboxError('no prekey', 'no-prekey');
      return { ...prekey, lastResort: prekey === mailbox.lastResort };
    },
    count: async () => ({
      oneTimeIds: mailbox.oneTime.map(({ id }) => id),
      lastResortId: mailbox.lastResort?.id ?? null,
    }),
  });

  const node = async (): Promise<MailNode> => {
    const who = await person();
    const store = testStore();
    const mailbox: FakeMailbox = {
      blobs: [],
      oneTime: [],
      lastResort: undefined,
      publications: [],
      afterPublishing: () => undefined,
    };
    const log: string[] = [];
    const logger = Object.assign((...args: unknown[]) => void log.push(args.join(' ')), silentLog);
    const nodeOf = (peer: string): MailNode => nodes.find(({ peerId }) => peerId === peer)!;

    const start = () => {
      const stop = new AbortController();
      const { signal } = stop;
      const { client } = store;
      const nowMs = (): number => clock.nowMs;
      const sessions = outgoingSessions({
        store: client,
        privateKey: who.key,
        nowMs,
        log: logger,
        async takePrekey(peer) {
          const { prekey } = await clientOf(nodeOf(peer).mailbox).take(peerIdOf(peer), { signal });
          return openPrekey(prekey, { owner: peerIdOf(peer), nowMs: nowMs() });
        },
      });
      const delivery = createDelivery({
        store: client,
        ways: {
          openChat: () => Promise.reject(new Error('nobody answers')),
          async deposit(peer, frames, { anew = false }) {
            const { blob, isLost } = await sessions.seal(peer, encodeBundle(frames), { signal, anew });
            signal.throwIfAborted();
            nodeOf(peer).mailbox.blobs.push({
              depositor: peerIdOf(who.peerId),
              depositedAtMs: nowMs(),
              blob,
            });
            if (isLost()) throw new Error('the session is lost');
          },
          verify: async () => false,
        },
        sessions,
        prekeys: prekeyExchange({
          store: client,
          privateKey: who.key,
          isContact: () => true,
          nowMs,
          log: logger,
        }),
        ...NOBODY_ASKS,
        log: logger,
        now: nowMs,
        random: () => 0,
        sleep: clock.sleep,
        signal,
        hello: () => ({
          features: [],
          contactCard: new Uint8Array(0),
          nameCertificate: new Uint8Array(0),
        }),
        greeted: () => undefined,
        onChange: () => undefined,
        onReceived: () => undefined,
        onSent: () => undefined,
      });
      const upkeep = prekeyUpkeep({
        store: client,
        privateKey: who.key,
        mailboxes: () => [{ peerId: 'the mailbox', prekeys: clientOf(mailbox) }],
        nowMs,
        random: () => 0,
        sleep: clock.sleep,
        log: logger,
        signal,
      });
      const take = mailboxIntake({
        store: client,
        self: peerIdOf(who.peerId),
        nowMs,
        log: logger,
        delivery,
        onPrekey: upkeep.used,
      });
      return { stop, sessions, delivery, upkeep, take };
    };
    let running = start();

    const self: MailNode = {
      ...who,
      store,
      mailbox,
      log,
      get delivery() {
        return running.delivery;
      },
      get sessions() {
        return running.sessions;
      },
      get upkeep() {
        return running.upkeep;
      },
      async write(to, text) {
        await running.delivery.send([{ peer: to.peerId, text }]);
      },
      connect: () => running.upkeep.check({ peerId: 'the mailbox', prekeys: clientOf(mailbox) }),
      async drain() {
        const blobs = [...mailbox.blobs];
        if (blobs.length === 0) return;
        await running.take(blobs);
        mailbox.blobs = mailbox.blobs.filter((blob) => !blobs.includes(blob));
      },
      texts: () =>
        store.operations['history.after']({ row: 0, limit: 1000 })
          .filter(({ outgoing }) => !outgoing)
          .map(({ text }) => text),
      isDelivered: (to) => store.operations['messages.pending']({ peer: to.peerId }).length === 0,
      stop: () => running.stop.abort(new Error('stopped')),
      restart() {
        running.stop.abort(new Error('stopped'));
        store.restart();
        running = start();
      },
    };
    for (const other of nodes) {
      self.store.operations['contacts.add']({ peer: other.peerId, petname: null, nowMs: clock.nowMs });
      other.store.operations['contacts.add']({ peer: self.peerId, petname: null, nowMs: clock.nowMs });
    }
    nodes.push(self);
    await self.connect();
    return self;
  };

  return {
    clock,
    node,
    async until(condition) {
      const from = performance.now();
      while (!condition()) {
        for (const each of nodes) await each.drain();
        if (performance.now() - from > PATIENCE_MS) throw new Error('it did not come about');
        await turn();
      }
    },
  };
}
