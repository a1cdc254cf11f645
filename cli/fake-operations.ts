import { randomUUID } from 'node:crypto';
import type {
  ControlOperations,
  EventView,
  MessageView,
  OperationResult,
  PeerView,
} from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';

type WithoutCursor<T> = T extends unknown ? Omit<T, 'cursor'> : never;

/** An event before the daemon gives it its cursor. */
export type FakeEvent = WithoutCursor<EventView>;

const SELF = '12D3KooWSelfSelfSelf';
const AT = '2026-11-20T09:05:00.000Z';
/** What unlocks it. */
export const PASSPHRASE = 'correct horse battery';
const CODE = 'tincan-verify:1/12D3KooWSelfSelfSelf/12D3KooWben';

/** Who the fake daemon knows; `mallory` has a name that tries the terminal. */
const PEOPLE: Record<string, PeerView> = Object.fromEntries(
  [
    ['ben', 'ben'],
    ['mallory', 'mal\u001b[2Jlory'],
  ].map(([key, name]) => [
    key!,
    {
      peerId: `12D3KooW${key}`,
      name: name!,
      petname: null,
      online: true,
      lastSeenAt: AT,
      connected: 'direct' as const,
      verified: false,
    },
  ]),
);

/** Operations of the contract over lists in memory. */
export function fakeOperations(emit: (event: FakeEvent) => void): {
  operations: ControlOperations;
  receive: (from: string, text: string) => MessageView;
  reach: (id: string, state: 'stored' | 'delivered' | 'read') => void;
  /** Somebody unknown wants to write. */
  ask: (from: string, text: string) => void;
  messages: MessageView[];
  marked: string[];
} {
  const messages: MessageView[] = [];
  const marked: string[] = [];
  let locked = false;
  const friends = new Map<string, PeerView>();
  const blocked = new Map<string, OperationResult<'block'>>();
  const requests: OperationResult<'requests'>['requests'] = [];
  const requested = (who: string): OperationResult<'requests'>['requests'][number] => {
    const at = requests.findIndex(({ peerId }) => peerId === find(who).peerId);
    if (at === -1) throw new ControlError('not-found', `${who} has not asked`, { field: 'who' });
    return requests.splice(at, 1)[0]!;
  };

  function find(who: string): PeerView {
    const peer = Object.values(PEOPLE).find(
      ({ name, peerId }) => [name, peerId].includes(who) || who === peerId.slice(8),
    );
    if (peer === undefined) {
      throw new ControlError('not-found', `nobody is called ${who}`, {
        field: 'who',
        hint: 'check the spelling',
      });
    }
    return peer;
  }

  function add(
    message: Pick<MessageView, 'id' | 'from' | 'to' | 'text' | 'state' | 'fromName'>,
  ): MessageView {
    const full: MessageView = {
      toName: null,
      sentAt: new Date().toISOString(),
      receivedAt: message.from === SELF ? null : AT,
      seq: messages.length + 1,
      missing: 0,
      failure: null,
      cursor: `m${messages.length + 1}`,
      ...message,
    };
    messages.push(full);
    emit({ type: 'message', message: full });
    return full;
  }

  function page(found: MessageView[]): { messages: MessageView[]; next: string | null } {
    return { messages: found, next: null };
  }
  const placeOf = (cursor: string | undefined): number =>
    cursor === undefined ? 0 : Number(cursor.slice(1));
  const identity = {
    peerId: SELF,
    name: 'ada',
    certificates: [{ phonebook: '12D3KooWbook', seq: 1, expiresAt: AT }],
    multiaddrs: [],
  };

  function verification(who: string): OperationResult<'verification'> {
    const { peerId, name, petname, verified } = find(who);
    return {
      peerId,
      name,
      petname,
      verified,
      verifiedAt: verified ? AT : null,
      safetyNumber: Array.from({ length: 12 }, (_, group) => String(11111 + group)).join(' '),
      code: CODE,
      keyChange: null,
      blocked: false,
    };
  }

  const operations: ControlOperations = {
    status: () => ({
      peerId: SELF,
      name: 'ada',
      version: '0.1.0',
      startedAt: AT,
      dataDir: '/tmp/ada',
      multiaddrs: ['/ip4/127.0.0.1/tcp/1234'],
      bootstrap: [
        {
          multiaddr: '/ip4/127.0.0.1/tcp/1',
          peerId: null,
          state: 'down',
          detail: 'refused',
          lastSeenAt: null,
        },
      ],
      dht: { mode: 'client', peers: 1 },
      connections: 1,
      outbox: { messages: 2, oldestAt: AT },
      unread: 1,
      requests: requests.length,
      warnings: ['the clock is ten years off'],
    }),
    identity: () => {
      if (locked) throw new ControlError('locked', 'the daemon is locked', { hint: 'unlock it' });
      return identity;
    },
    lock: () => ({ locked: (locked = true) }),
    unlock({ passphrase }) {
      if (passphrase !== PASSPHRASE)
        throw new ControlError('forbidden', 'the passphrase is wrong', { field: 'passphrase' });
      return { locked: (locked = false) };
    },
    claimName: ({ name }) => {
      if (name === 'ben') throw new ControlError('conflict', 'ben is taken', { field: 'name' });
      return { ...identity, name };
    },
    releaseName: () => ({ ...identity, name: null }),
    peers: () => ({ peers: Object.values(PEOPLE), warnings: [] }),
    whois: ({ who }) => ({
      ...find(who),
      multiaddrs: [],
      mailboxes: [],
      certificate: null,
      source: 'phonebook',
      waiting: false,
      warning: null,
      keyChange: null,
      blocked: false,
    }),
    verification: ({ who }) => verification(who),
    verify: ({ who, verified }) => {
      const peer = find(who);
      peer.verified = verified;
      emit({ type: 'contact', peerId: peer.peerId, change: 'changed' });
      return verification(who);
    },
    compareCode: ({ code }) =>
      code === CODE
        ? { result: 'match', detail: 'it is the same' }
        : { result: 'mismatch', detail: 'the numbers differ' },
    keyChange: ({ who }) => {
      throw new ControlError('not-found', `there is nothing to decide about ${who}`, { field: 'who' });
    },
    decideKeyChange: ({ who }) => find(who),
    contacts: () => ({
      contacts: [...friends.values()].map((friend) => ({
        ...friend,
        addedAt: AT,
        unread: 0,
        waiting: false,
        keyChange: null,
      })),
    }),
    addContact: ({ who, petname }) => {
      const friend = { ...find(who), petname: petname ?? null };
      friends.set(friend.peerId, friend);
      return { ...friend, addedAt: AT, unread: 0, waiting: false, keyChange: null };
    },
    backup: ({ file }) => ({ file, peerId: SELF, madeAt: AT, bytes: 1_234_567 }),
    removeContact: ({ who }) => {
      const friend = find(who);
      friends.delete(friend.peerId);
      return { ...friend, addedAt: AT, unread: 0, waiting: false, keyChange: null };
    },
    requests: () => ({ requests }),
    accept({ who, petname }) {
      const friend = { ...find(requested(who).peerId), petname: petname ?? null };
      friends.set(friend.peerId, friend);
      return { ...friend, addedAt: AT, unread: 1, waiting: false, keyChange: null };
    },
    decline: ({ who }) => ({ peerId: requested(who).peerId }),
    blocked: () => ({ blocked: [...blocked.values()] }),
    block({ who }) {
      const { peerId, name, petname } = find(who);
      const block = { peerId, name, petname, since: AT };
      blocked.set(peerId, block);
      return block;
    },
    unblock({ who }) {
      const { peerId } = find(who);
      if (!blocked.delete(peerId))
        throw new ControlError('not-found', `you have not blocked ${who}`, { field: 'who' });
      return { peerId };
    },
    invite: ({ reusable }) => ({
      id: 7,
      reusable,
      createdAt: AT,
      expiresAt: AT,
      invite: 'tincan:12D3KooWSelfSelfSelf?n=ada',
    }),
    invites: () => ({
      invites: [{ id: 7, reusable: true, createdAt: AT, expiresAt: AT, uses: 2 }],
    }),
    revokeInvite({ id }) {
      if (id !== 7) throw new ControlError('not-found', `there is no invite ${id}`, { field: 'id' });
      return { id };
    },
    connect: ({ who }) => ({ ...find(who), multiaddr: '/ip4/127.0.0.1/tcp/2', rttMs: 1.25 }),
    disconnect: ({ who }) => ({ ...find(who), connected: null }),
    send: ({ to, text, wait }) => {
      const peer = find(to);
      const message = add({
        id: randomUUID(),
        from: SELF,
        fromName: 'ada',
        to: peer.peerId,
        text,
        state: 'queued',
      });
      // Nobody ever reads what is sent here: waiting for more than a mailbox times out.
      return {
        id: message.id,
        state: wait === 'queued' ? 'queued' : 'stored',
        to: peer.peerId,
        failure: null,
      };
    },
    message: ({ id }) => messages.find((message) => message.id === id)!,
    retry: ({ id }) => ({ id, state: 'queued', to: SELF, failure: null }),
    inbox: ({ unread, after }) =>
      page(
        messages
          .slice(placeOf(after))
          .filter(({ from, state }) => from !== SELF && (!unread || state === 'unread')),
      ),
    conversations: () => ({ conversations: [] }),
    history: ({ who, before, limit }) => {
      const { peerId } = find(who);
      return page(
        messages
          .slice(0, before === undefined ? undefined : placeOf(before) - 1)
          .filter(({ from, to }) => from === peerId || to === peerId)
          .slice(-limit),
      );
    },
    search: ({ q, who, limit }) => {
      const peer = who === undefined ? undefined : find(who).peerId;
      const found = messages.filter(
        ({ from, to, text }) => text.includes(q) && (peer === undefined || from === peer || to === peer),
      );
      return {
        messages: found
          .toReversed()
          .slice(0, limit)
          .map((message) => {
            const start = message.text.indexOf(q);
            return { ...message, matches: [{ start, end: start + q.length }] };
          }),
        next: found.length > limit ? 'r7' : null,
        notIndexed: q === 'soon' ? 1200 : 0,
      };
    },
    markRead: ({ who, upTo }) => {
      marked.push(upTo);
      const last = messages.findIndex(({ id }) => id === upTo);
      for (const message of messages.slice(0, last + 1)) {
        if (message.from === find(who).peerId) message.state = 'read';
      }
      return { unread: 0 };
    },
  };

  return {
    operations,
    messages,
    marked,
    receive(from, text) {
      const { peerId, name } = find(from);
      return add({ id: randomUUID(), from: peerId, fromName: name, to: SELF, text, state: 'unread' });
    },
    ask(from, text) {
      const { peerId, name } = find(from);
      const safetyNumber = verification(from).safetyNumber;
      requests.push({ peerId, name, safetyNumber, receivedAt: AT, sentAt: AT, text });
      emit({ type: 'request', peerId, name, change: 'received' });
    },
    reach(id, state) {
      const message = messages.find((message) => message.id === id)!;
      message.state = state;
      emit({ type: 'state', peerId: message.to, state, ids: [id], failure: null });
    },
  };
}
