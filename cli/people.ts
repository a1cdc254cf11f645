import type { KeyChangeView, PeerView } from '../protocols/control/contract.ts';
import { displayName, friendlyAge } from './display.ts';
import { safeLine } from './terminal-text.ts';

/** How somebody is within reach, in words. */
export function describePresence({ online, connected, lastSeenAt }: PeerView, now: Date): string {
  if (connected !== null) return connected === 'direct' ? 'connected' : 'connected by relay';
  if (online) return 'online';
  return lastSeenAt === null ? 'offline' : `seen ${friendlyAge(lastSeenAt, now)}`;
}

/** What is known of somebody's key, in words. */
export function describeKey({
  verified,
  keyChange,
}: Pick<PeerView, 'verified'> & { keyChange: KeyChangeView | null }): string {
  if (keyChange !== null) return `CHANGED: tincan trust ${safeLine(keyChange.name)}`;
  return verified ? 'verified' : 'not verified';
}

/** The columns of a person in a list: what to call them, their claimed name where that differs, presence, peer id. */
export function personRow(peer: PeerView, now: Date): string[] {
  const known = displayName(peer);
  const claimed = peer.name !== null && peer.petname !== null && peer.petname !== peer.name;
  return [
    known,
    ...(claimed ? [`(${safeLine(peer.name!)})`] : ['']),
    describePresence(peer, now),
    safeLine(peer.peerId),
  ];
}
