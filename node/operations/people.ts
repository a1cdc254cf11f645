import type { ControlOperations, OperationResult, PeerView } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { normaliseName } from '../../protocols/phonebook/name.ts';
import type { ListEntry } from '../../protocols/phonebook/protocol.ts';
import { isInvite, parseInvite } from '../invite.ts';
import { kindOf } from '../host.ts';
import { parsePeerId, peerIdOf } from '../peer-ids.ts';
import { keyChangeOrNull, peerView, viewOfContact } from './daemon.ts';
import type { Daemon } from './daemon.ts';

/** Pages of a phonebook's listing that one `peers` takes at the most: 2,000 people. */
const MAX_PAGES = 20;
const LIST_TIMEOUT_MS = 5_000;

/** Looking for a peer's addresses in the DHT, when nobody else knows any. */
const ROUTING_TIMEOUT_MS = 5_000;

/** Finding people, keeping them, connecting to them. */
export function peopleOperations(
  daemon: Daemon,
): Pick<
  ControlOperations,
  'peers' | 'whois' | 'contacts' | 'addContact' | 'removeContact' | 'connect' | 'disconnect'
> {
  const { acquaintances, delivery, directory, events, host, links, reach, self } = daemon;

  const here = (peerId: string): PeerView => peerView(daemon, peerId, { online: false, lastSeenMs: null });

  const contactView = (peerId: string): Promise<OperationResult<'addContact'>> =>
    viewOfContact(daemon, peerId);

  /** An entry of a listing, which nothing proves: passed over without a peer id, its name only if it can be that. */
  const listed = ({ peerId, name, online, lastSeenMs }: ListEntry): PeerView | undefined => {
    if (parsePeerId(peerId) === undefined || peerId === self) return undefined;
    const pinned = name === null ? undefined : directory.known(name);
    const plausible = name !== null && isName(name) && (pinned === undefined || pinned === peerId);
    return peerView(daemon, peerId, { name: plausible ? name : null, online, lastSeenMs });
  };

  return {
    async peers({ online }, { signal }) {
      const found = new Map<string, PeerView>();
      const warnings: string[] = [];
      const put = (view: PeerView): void => {
        const known = found.get(view.peerId);
        if (known === undefined || (view.online && !known.online)) found.set(view.peerId, view);
      };
      await Promise.all(
        links.map(async ({ phonebook, status, address }) => {
          if (status.state !== 'connected') {
            warnings.push(
              `${address.toString()} is ${status.state}${status.detail === null ? '' : `: ${status.detail}`}`,
            );
            return;
          }
          try {
            const limit = AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT_MS)]);
            let after: string | null = '';
            for (let page = 0; after !== null && page < MAX_PAGES; page++) {
              const { entries, next } = await phonebook.list(
                { onlineOnly: online, after },
                { signal: limit },
              );
              for (const entry of entries) {
                const view = listed(entry);
                if (view !== undefined) put(view);
              }
              after = next;
            }
          } catch (error) {
            warnings.push(`${address.toString()}: ${(error as Error).message}`);
          }
        }),
      );
      for (const { peer } of directory.contacts) put(here(peer));
      const bootstrap = new Set(links.map(({ peerId }) => peerId.toString()));
      const shown = [...found.values()].filter(
        ({ peerId, online: isOnline }) => !bootstrap.has(peerId) && (isOnline || !online),
      );
      return {
        peers: shown.sort((a, b) =>
          (a.petname ?? a.name ?? a.peerId).localeCompare(b.petname ?? b.name ?? b.peerId),
        ),
        warnings,
      };
    },

    async whois({ who }, { signal }) {
      const found = await directory.lookup(who, { signal });
      const view = peerView(daemon, found.peerId, found);
      let { multiaddrs } = found;
      if (multiaddrs.length === 0) {
        const known = await host.peerStore.get(peerIdOf(found.peerId)).catch(() => ({ addresses: [] }));
        multiaddrs = known.addresses.map((address) => address.multiaddr.toString());
      }
      if (multiaddrs.length === 0) {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(ROUTING_TIMEOUT_MS)]);
        const routed = await host.peerRouting
          .findPeer(peerIdOf(found.peerId), { signal: limit })
          .catch(() => undefined);
        multiaddrs = routed?.multiaddrs.map(String) ?? [];
      }
      return {
        ...view,
        multiaddrs,
        mailboxes: (found.card?.mailboxes ?? []).flatMap((mailbox) =>
          mailbox.multiaddrs.map((address) => `${address}/p2p/${mailbox.peerId}`),
        ),
        certificate:
          found.certificate === null
            ? null
            : {
                phonebook: found.certificate.phonebook,
                seq: found.certificate.seq,
                expiresAt: new Date(found.certificate.expiresMs).toISOString(),
              },
        source: found.source,
        waiting: acquaintances.keepsUsWaiting(found.peerId),
        warning: found.warning,
        keyChange: keyChangeOrNull(found.change),
        blocked: found.blocked,
      };
    },

    async contacts() {
      return { contacts: await Promise.all(directory.contacts.map(({ peer }) => contactView(peer))) };
    },

    async addContact({ who, petname }, { signal }) {
      const peerId = await directory.recipient(who, { signal });
      if (peerId === self) {
        throw new ControlError('invalid', 'that is this daemon itself', {
          field: 'who',
          hint: 'add somebody else',
        });
      }
      // Before somebody is met, so that it is the first thing that they are told.
      const token = isInvite(who) ? parseInvite(who).token : null;
      if (token !== null) await acquaintances.showToken(peerId, token);
      await directory.addContact(peerId, petname ?? null);
      return contactView(peerId);
    },

    async removeContact({ who }, { signal }) {
      const peerId = await directory.resolve(who, { signal });
      const view = await contactView(peerId);
      await directory.removeContact(peerId);
      events.append({ type: 'contact', peerId, change: 'removed' });
      return { ...view, petname: null };
    },

    async connect({ who, timeoutMs }, { signal }) {
      const peerId = await directory.resolve(who, { signal });
      if (peerId === self) throw new ControlError('invalid', 'that is this daemon itself', { field: 'who' });
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      try {
        const connection = await reach.connect(peerId, { signal: limit });
        const rttMs = await host.services.ping.ping(connection.remotePeer, { signal: limit });
        await delivery.present(peerId);
        delivery.greet(peerId);
        const view = here(peerId);
        return { ...view, connected: kindOf(connection), multiaddr: connection.remoteAddr.toString(), rttMs };
      } catch (error) {
        if (limit.aborted && !signal.aborted) {
          throw new ControlError('timeout', `${who} did not answer within ${timeoutMs} ms`, { cause: error });
        }
        throw new ControlError('unavailable', `${who} can't be reached now: ${(error as Error).message}`, {
          hint: 'messages sent meanwhile wait, here or in a mailbox',
          cause: error,
        });
      }
    },

    async disconnect({ who }, { signal }) {
      const peerId = await directory.resolve(who, { signal });
      if (host.getConnections(peerIdOf(peerId)).length === 0) {
        throw new ControlError('not-found', `there is no connection to ${who}`, { field: 'who' });
      }
      await host.hangUp(peerIdOf(peerId));
      return here(peerId);
    },
  };
}

/** Whether a name is in the one form that names have. */
function isName(text: string): boolean {
  try {
    return normaliseName(text) === text;
  } catch {
    return false;
  }
}
