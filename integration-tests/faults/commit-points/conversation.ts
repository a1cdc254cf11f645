import { randomBytes } from 'node:crypto';
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id';
import { encodeInviteToken, encodePending } from '../../../protocols/chat/protocol.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { depositor } from '../../../protocols/mailbox/client.ts';
import { depositorsClient } from '../../../protocols/mailbox/depositors-client.ts';
import type { HeldPrekey } from '../../../protocols/mailbox/prekey-frames.ts';
import { prekeysClient } from '../../../protocols/mailbox/prekeys-client.ts';
import { MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { rendezvousClient } from '../../../protocols/rendezvous/client.ts';
import { RENDEZVOUS_PROTOCOL } from '../../../protocols/rendezvous/protocol.ts';
import { ControlError } from '../../../protocols/control/errors.ts';
import type { Daemon } from '../../harness/daemon.ts';
import { metric } from '../../harness/metrics.ts';
import type { Program } from '../../harness/program.ts';
import { stranger } from '../../harness/stranger.ts';
import type { Stranger } from '../../harness/stranger.ts';
import type { Bootstrap } from '../../harness/town.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { chatWith, messageFrame } from '../hostile/attack-chat.ts';
import { tagText } from '../episodes/ledger.ts';
import type { Ledger } from '../episodes/ledger.ts';

export type Player = 'ada' | 'ben' | 'bootstrap';

export interface Cast {
  ada: Daemon;
  ben: Daemon;
  bootstrap: Bootstrap;
  ledger: Ledger;
  signal: AbortSignal;
  /** Messages each has tried to send so far. */
  numbers: Record<Person, number>;
  /** Starts a program if it does not run, and again if it is killed meanwhile. */
  up(player: Player): Promise<void>;
}

/** Within this time a message reaches its state, unless somebody has died. A dial may have to wait its turn before. */
const STATE_MS = 15_000;

/** How long the prekeys of a step are good. */
const PREKEY_MS = 3_600_000;

type Person = 'ada' | 'ben';

/** A piece of a conversation that uses one part of the programs. It can be played again and again. */
export interface Step {
  name: string;
  /** Played for points that no shorter one passes. */
  lengthy?: true;
  play(cast: Cast): Promise<void>;
}

async function down(program: Program): Promise<void> {
  if (program.running) await program.kill();
}

/** Sends one message and tells the ledger what its sender was told. */
async function say(cast: Cast, from: Person): Promise<string> {
  const to = from === 'ada' ? 'ben' : 'ada';
  const tag = { from, to, number: ++cast.numbers[from] };
  const text = tagText(tag);
  cast.ledger.sends(tag, text);
  try {
    const { id } = await cast[from].client.call(
      'send',
      { to: cast[to].peerId, text },
      { signal: cast.signal },
    );
    cast.ledger.promised(tag, id);
    return id;
  } catch (error) {
    if (error instanceof ControlError) cast.ledger.refused(tag);
    throw error;
  }
}

/** Waits until a message of somebody has one of the states. */
async function reached(cast: Cast, from: Person, id: string, ...states: string[]): Promise<void> {
  const { signal } = cast;
  await waitFor(
    `a message of ${from} to be ${states.join(' or ')}`,
    async () => states.includes((await cast[from].client.call('message', { id }, { signal })).state),
    { signal, timeoutMs: STATE_MS },
  );
}

async function connected(cast: Cast, who: Person): Promise<void> {
  const { signal } = cast;
  await waitFor(
    `${who} to be connected to the bootstrap node`,
    async () => (await cast[who].client.call('status', {}, { signal })).bootstrap[0]?.state === 'connected',
    { signal },
  );
}

async function exchange(cast: Cast): Promise<void> {
  const fromAda = await say(cast, 'ada');
  const fromBen = await say(cast, 'ben');
  await reached(cast, 'ada', fromAda, 'delivered', 'read');
  await reached(cast, 'ben', fromBen, 'delivered', 'read');
}

/** Makes somebody a contact who is none, as after the death of who took them off. */
async function befriend(daemon: Daemon, other: Daemon, { signal }: { signal: AbortSignal }): Promise<void> {
  const { contacts } = await daemon.client.call('contacts', {}, { signal });
  if (contacts.some(({ peerId }) => peerId === other.peerId)) return;
  const petname = `friend${other.peerId.slice(-4)}`;
  await daemon.client.call('addContact', { who: other.peerId, petname }, { signal });
}

/** Gives back the name somebody has, and claims one that nobody ever had. */
async function rename({ numbers, signal, ...cast }: Cast, who: Person): Promise<void> {
  const { client } = cast[who];
  const { name } = await client.call('identity', {}, { signal });
  if (name === null) {
    // Killed after a claim, it is told by the phonebook what name it has there.
    await client.call('claimName', { name: who }, { signal }).catch((error: unknown) => {
      if (!(error instanceof ControlError) || error.code !== 'conflict') throw error;
    });
  }
  await client.call('releaseName', {}, { signal });
  await client.call('claimName', { name: `${who}${++numbers[who]}` }, { signal });
}

/** All that a registered daemon and its bootstrap node do with each other, from a restart of one of them. */
function restart(player: Player): Step {
  return {
    name: `restart of ${player}`,
    async play(cast) {
      await down(player === 'bootstrap' ? cast.bootstrap.program : cast[player].program);
      await cast.up(player);
      await Promise.all([connected(cast, 'ada'), connected(cast, 'ben')]);
    },
  };
}

/** What a mailbox takes for a prekey. */
function prekey(number: number): HeldPrekey {
  return {
    id: new Uint8Array(16).fill(number),
    expiresMs: Date.now() + PREKEY_MS,
    prekey: new Uint8Array(1_300).fill(number),
  };
}

export const STEPS: readonly Step[] = [
  { name: 'live', play: exchange },
  {
    name: 'read',
    async play(cast) {
      // A receipt goes where a stream is open: what Ben says opens one.
      await exchange(cast);
      const id = await say(cast, 'ada');
      await reached(cast, 'ada', id, 'delivered');
      const who = cast.ada.peerId;
      const { messages } = await cast.ben.client.call('history', { who, limit: 1 }, { signal: cast.signal });
      await cast.ben.client.call('markRead', { who, upTo: messages.at(-1)!.id }, { signal: cast.signal });
      await reached(cast, 'ada', id, 'read');
    },
  },
  {
    name: 'mailbox',
    async play(cast) {
      await down(cast.ben.program);
      const ids = [await say(cast, 'ada'), await say(cast, 'ada')];
      for (const id of ids) await reached(cast, 'ada', id, 'stored', 'delivered');
      await cast.up('ben');
      for (const id of ids) await reached(cast, 'ada', id, 'delivered');
    },
  },
  {
    name: 'acknowledgement through the mailbox',
    async play(cast) {
      await down(cast.ben.program);
      const id = await say(cast, 'ada');
      await reached(cast, 'ada', id, 'stored', 'delivered');
      await down(cast.ada.program);
      await cast.up('ben');
      await waitFor(
        'an acknowledgement in the mailbox',
        async () => (await metric(cast.bootstrap, 'tincan_mailbox_blobs')) > 0,
        { signal: cast.signal },
      );
      await cast.up('ada');
      await reached(cast, 'ada', id, 'delivered');
    },
  },
  {
    name: 'friends',
    async play({ ada, ben, signal }) {
      await befriend(ada, ben, { signal });
      await ada.client.call('removeContact', { who: ben.peerId }, { signal });
      await befriend(ada, ben, { signal });
      for (const verified of [true, false])
        await ada.client.call('verify', { who: ben.peerId, verified }, { signal });
    },
  },
  {
    name: 'strangers',
    async play({ ada, ben, ledger, signal }) {
      const call = ada.client.call.bind(ada.client);
      const [address] = ada.program.ready.multiaddrs;
      // There is room for so many, and a play that was cut short has left some.
      for (const { peerId } of (await call('requests', {}, { signal })).requests)
        await call('decline', { who: peerId }, { signal });
      for (const { peerId } of (await call('contacts', {}, { signal })).contacts)
        if (peerId !== ben.peerId) await call('removeContact', { who: peerId }, { signal });
      /** Somebody new says something, after what they show. */
      const ask = async (...shown: Uint8Array[]): Promise<string> => {
        await using somebody = await stranger({ signal });
        const stream = await chatWith(somebody, address!, { signal });
        const tag = { from: somebody.peerId, to: 'ada', number: 1 };
        const text = tagText(tag);
        ledger.sends(tag, text);
        stream.send(encodeFrames([...shown, messageFrame({ text })]));
        await waitFor(
          'a stranger to be heard',
          async () => {
            const { requests } = await call('requests', {}, { signal });
            const { contacts } = await call('contacts', {}, { signal });
            return [...requests, ...contacts].some(({ peerId }) => peerId === somebody.peerId);
          },
          { signal, timeoutMs: STATE_MS },
        );
        return somebody.peerId;
      };
      await call('decline', { who: await ask() }, { signal });
      await call('accept', { who: await ask() }, { signal });
      const pest = await ask();
      await call('block', { who: pest }, { signal });
      await call('blocked', {}, { signal });
      await call('unblock', { who: pest }, { signal });
      const { invite, id } = await call('invite', { reusable: true }, { signal });
      const token = new URL(invite).searchParams.get('t')!;
      const guest = await ask(encodeInviteToken(Buffer.from(token)));
      await call('invites', {}, { signal });
      await call('revokeInvite', { id }, { signal });
      await using busy = await stranger({ signal });
      await call('addContact', { who: busy.peerId }, { signal });
      await call('send', { to: busy.peerId, text: 'may I?' }, { signal });
      const told = await chatWith(busy, address!, { signal });
      told.send(encodeFrames([encodePending()]));
      await waitFor(
        'ada to be told that she waits',
        async () => (await call('contacts', {}, { signal })).contacts.some(({ waiting }) => waiting),
        { signal, timeoutMs: STATE_MS },
      );
      // Shown to somebody who never comes.
      await call('addContact', { who: `tincan:${pest}?t=${token}` }, { signal });
      for (const who of [guest, pest, busy.peerId]) await call('removeContact', { who }, { signal });
    },
  },
  {
    name: 'names',
    async play(cast) {
      for (const [who, other] of [
        ['ada', 'ben'],
        ['ben', 'ada'],
      ] as const) {
        await connected(cast, who);
        await connected(cast, other);
        await rename(cast, who);
        const looked = { who: `${who}${cast.numbers[who]}` };
        await cast[other].client.call('whois', looked, { signal: cast.signal });
      }
    },
  },
  {
    name: 'looking',
    async play({ ada, ben, bootstrap, signal }) {
      const { messages } = await ada.client.call('history', { who: ben.peerId }, { signal });
      for (const { id } of messages.slice(0, 1)) await ada.client.call('message', { id }, { signal });
      await ada.client.call('conversations', {}, { signal });
      await ada.client.call('inbox', {}, { signal });
      await ada.client.call('search', { q: 'message' }, { signal });
      await metric(bootstrap, 'tincan_mailbox_blobs');
      await using somebody = await stranger({ signal });
      const point = rendezvousClient({
        openStream: () => somebody.open(bootstrap.multiaddr, RENDEZVOUS_PROTOCOL),
      });
      await point.unregister('tincan', { signal });
      await point.discover('tincan', { signal });
    },
  },
  {
    name: 'prekeys',
    async play({ bootstrap, signal }) {
      await using owner = await stranger({ signal });
      await using taker = await stranger({ signal });
      const prekeysOf = (who: Stranger) =>
        prekeysClient({ openStream: () => who.open(bootstrap.multiaddr, MAILBOX_PROTOCOL) });
      const recipient = peerIdFromPrivateKey(owner.privateKey);
      await prekeysOf(owner).publish({ oneTime: [prekey(1)], lastResort: prekey(2) }, { signal });
      await prekeysOf(owner).count({ signal });
      await prekeysOf(taker).take(recipient, { signal });
      await prekeysOf(taker).take(recipient, { signal });
      await metric(bootstrap, 'tincan_prekey_bytes');
    },
  },
  {
    name: 'depositors',
    async play({ bootstrap, signal }) {
      await using owner = await stranger({ signal });
      await using pest = await stranger({ signal });
      const depositors = depositorsClient({
        openStream: () => owner.open(bootstrap.multiaddr, MAILBOX_PROTOCOL),
      });
      const peers = [peerIdFromPrivateKey(pest.privateKey)];
      await depositors.block(peers, { atMs: Date.now(), signal });
      await depositors.unblock(peers, { signal });
    },
  },
  {
    name: 'what can not be opened',
    async play(cast) {
      const { ben, bootstrap, signal } = cast;
      await connected(cast, 'ben');
      await using somebody = await stranger({ signal });
      const mailbox = depositor({
        openStream: () => somebody.open(bootstrap.multiaddr, MAILBOX_PROTOCOL),
        signal,
      });
      const recipient = peerIdFromString(ben.peerId);
      // Of a session that nobody has opened.
      const blob = randomBytes(1024);
      blob.set([1, 0]);
      blob.writeUInt16BE(0, 18);
      await mailbox.deposit({ recipient, blob, expiresMs: Date.now() + PREKEY_MS });
      await waitFor(
        'a blob of no use to be passed over',
        async () => (await metric(bootstrap, 'tincan_mailbox_blobs')) === 0,
        { signal },
      );
    },
  },
  {
    name: 'new sessions',
    lengthy: true,
    async play(cast) {
      for (const [from, to] of [
        ['ada', 'ben'],
        ['ben', 'ada'],
      ] as const) {
        // Who was started anew seals in a new session.
        await down(cast[from].program);
        await cast.up(from);
        await down(cast[to].program);
        const id = await say(cast, from);
        await reached(cast, from, id, 'stored', 'delivered');
        await cast.up(to);
        await reached(cast, from, id, 'delivered');
        await waitFor(
          'the mailbox to be empty',
          async () => (await metric(cast.bootstrap, 'tincan_mailbox_blobs')) === 0,
          { signal: cast.signal },
        );
        // That it was opened is told on the next stream.
        await down(cast[from].program);
        await cast.up(from);
        await reached(cast, to, await say(cast, to), 'delivered', 'read');
      }
    },
  },
  restart('ada'),
  restart('ben'),
  restart('bootstrap'),
];
