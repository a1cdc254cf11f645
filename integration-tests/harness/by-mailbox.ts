import assert from 'node:assert/strict';
import type { Daemon } from './daemon.ts';
import type { Left, LyingMailbox } from './lying-mailbox.ts';
import type { Town } from './town.ts';
import { waitFor } from './wait-for.ts';

/** Strangers whose only way to each other is a mailbox: none knows an address of another. */
export async function daemonsByMailbox<Name extends string>(
  town: Town,
  names: readonly Name[],
  mailboxes: readonly LyingMailbox[],
): Promise<Record<Name, Daemon>> {
  const bootstrap = mailboxes.map(({ multiaddr }) => multiaddr);
  const daemons = await Promise.all(names.map((name) => town.daemon(name, { bootstrap, friends: false })));
  return Object.fromEntries(daemons.map((daemon, index) => [names[index], daemon])) as Record<Name, Daemon>;
}

/**
 * Makes them contacts of each other, by these petnames. Nobody is given a prekey meanwhile: what one leaves for another who
 * does not know them yet is not kept.
 */
export async function befriend(
  people: Readonly<Record<string, Daemon>>,
  mailboxes: readonly LyingMailbox[],
  { signal }: Town,
): Promise<void> {
  const before = mailboxes.map(({ onTake }) => onTake);
  for (const box of mailboxes) box.onTake = () => undefined;
  for (const one of Object.values(people)) {
    for (const [petname, other] of Object.entries(people)) {
      if (other !== one) await one.client.call('addContact', { who: other.peerId, petname }, { signal });
    }
  }
  for (const [index, box] of mailboxes.entries()) box.onTake = before[index];
}

/** `daemonsByMailbox`, who are contacts of each other. */
export async function peopleByMailbox<Name extends string>(
  town: Town,
  names: readonly Name[],
  mailboxes: readonly LyingMailbox[],
): Promise<Record<Name, Daemon>> {
  const people = await daemonsByMailbox(town, names, mailboxes);
  await befriend(people, mailboxes, town);
  return people;
}

/** Tells one where the other is, so that they meet. */
export async function meet(one: Daemon, other: Daemon, { signal }: Town): Promise<void> {
  const { invite } = await other.client.call('invite', {}, { signal });
  await one.client.call('connect', { who: invite }, { signal });
}

/** Waits until somebody has taken all that the mailbox had. */
export async function taken(box: LyingMailbox, who: Daemon, { signal }: Town): Promise<void> {
  await waitFor('the mailbox to be emptied', () => box.untaken(who.peerId) === 0, { signal });
}

/** What somebody has left for somebody else so far. */
export function leftBy(box: LyingMailbox, from: Daemon, to: Daemon): Left[] {
  return box.left.filter(({ depositor, recipient }) => depositor === from.peerId && recipient === to.peerId);
}

/** Leaves messages, one after the other, in a mailbox that hands nothing out; all that is left meanwhile. */
export async function held(
  box: LyingMailbox,
  from: Daemon,
  to: Daemon,
  texts: readonly string[],
): Promise<Left[]> {
  const before = leftBy(box, from, to).length;
  box.deposits = 'hold';
  for (const text of texts) await from.send(to.peerId, text, 'stored');
  box.deposits = 'keep';
  const left = leftBy(box, from, to).slice(before);
  assert.ok(left.length >= texts.length);
  return left;
}

/** What somebody is shown from others, in the order of arrival: who they are said to be, and what they wrote. */
export async function shown(daemon: Daemon): Promise<string[]> {
  return (await daemon.inbox()).map(({ fromName, text }) => `${fromName}: ${text}`);
}

/** What somebody is shown of a conversation, in reading order, each with how many are missing before it. */
export async function conversation(
  daemon: Daemon,
  who: string,
  { signal }: Town,
): Promise<[text: string, missing: number][]> {
  const { messages } = await daemon.client.call('history', { who, limit: 100 }, { signal });
  return messages.map(({ text, missing }) => [text, missing]);
}

/** As a conversation shows texts when nothing is missing. */
export function whole(texts: readonly string[]): [text: string, missing: number][] {
  return texts.map((text) => [text, 0]);
}
