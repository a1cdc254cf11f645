import type { KeyChangeView, OperationResult, PeerView } from '../../protocols/control/contract.ts';
import type { Acquaintances } from '../acquaintances.ts';
import type { BootstrapLink } from '../bootstrap-link.ts';
import type { DaemonConfig } from '../config.ts';
import type { Delivery } from '../delivery/delivery.ts';
import type { Directory } from '../directory.ts';
import type { EventLog } from '../event-log.ts';
import { connectedTo } from '../host.ts';
import type { Host } from '../host.ts';
import type { KeepInTouch } from '../keep-in-touch.ts';
import type { NamesForViews } from '../message-view.ts';
import type { OwnName } from '../own-name.ts';
import { parsePeerId } from '../peer-ids.ts';
import type { KeyChange } from '../pinned-names.ts';
import type { Reach } from '../reach.ts';
import type { Search } from '../search/search.ts';
import type { NodeStore } from '../store/operations.ts';

/** The parts of a running daemon, as its API's operations need them. */
export interface Daemon {
  config: DaemonConfig;
  version: string;
  self: string;
  startedMs: number;
  nowMs: () => number;
  host: Host;
  store: NodeStore;
  links: readonly BootstrapLink[];
  directory: Directory;
  acquaintances: Acquaintances;
  ownName: OwnName;
  delivery: Delivery;
  reach: Reach;
  search: Pick<Search, 'find'>;
  touch: Pick<KeepInTouch, 'met'>;
  events: Pick<EventLog, 'append'>;
  names: NamesForViews;
  /** What the user should know, newest last. */
  warnings: readonly string[];
}

/** The last millisecond a Date can hold: other programs' clocks may say anything. */
const MAX_TIME_MS = 8_640_000_000_000_000;

/** A time for the API; null for none, and for what can be none. */
export const isoOrNull = (ms: number | null): string | null =>
  ms === null || !(ms > 0 && ms <= MAX_TIME_MS) ? null : new Date(ms).toISOString();

/** What is known of a peer without asking anybody. */
export function peerView(
  { host, directory }: Pick<Daemon, 'host' | 'directory'>,
  peerId: string,
  presence: { name?: string | null; online: boolean; lastSeenMs: number | null },
): PeerView {
  const id = parsePeerId(peerId);
  const connected = id === undefined ? null : connectedTo(host, id);
  const petname = directory.contacts.find(({ peer }) => peer === peerId)?.petname ?? null;
  return {
    peerId,
    name: presence.name ?? directory.certifiedName(peerId),
    petname,
    online: presence.online || connected !== null,
    lastSeenAt: isoOrNull(presence.lastSeenMs),
    connected,
    verified: directory.verifiedMs(peerId) !== null,
  };
}

/** A contact for the API. */
export async function viewOfContact(daemon: Daemon, peerId: string): Promise<OperationResult<'addContact'>> {
  const { acquaintances, directory, store } = daemon;
  const contact = directory.contacts.find(({ peer }) => peer === peerId);
  return {
    ...peerView(daemon, peerId, { online: false, lastSeenMs: null }),
    addedAt: new Date(contact?.addedMs ?? daemon.nowMs()).toISOString(),
    unread: await store.call('history.unread', { peer: peerId }),
    waiting: acquaintances.keepsUsWaiting(peerId),
    keyChange: keyChangeOrNull(directory.changeOf(peerId)),
  };
}

/** A change of a key for the API. */
export function keyChangeView({ seenMs, ...change }: KeyChange): KeyChangeView {
  return { ...change, seenAt: new Date(seenMs).toISOString() };
}

/** As `keyChangeView`; null for none. */
export function keyChangeOrNull(change: KeyChange | null | undefined): KeyChangeView | null {
  return change === null || change === undefined ? null : keyChangeView(change);
}
