import { CODE_P2P } from '@multiformats/multiaddr';
import type { ControlOperations, OperationResult } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import type { BlockedPeer } from '../acquaintances.ts';
import { formatInvite, hashOfToken, newInviteToken } from '../invite.ts';
import { byReach } from '../peer-addresses.ts';
import type { InviteRow } from '../store/invites.ts';
import { numberOf } from '../verification.ts';
import { peerView, viewOfContact } from './daemon.ts';
import type { Daemon } from './daemon.ts';

/** The end of a peer id that stands for the whole, where there are few to tell apart: what lists show. */
const MIN_ENDING_CHARACTERS = 8;

const iso = (ms: number): string => new Date(ms).toISOString();

/** Strangers who ask, invites that spare asking, and blocks. */
export function requestOperations(
  daemon: Daemon,
): Pick<
  ControlOperations,
  'requests' | 'accept' | 'decline' | 'blocked' | 'block' | 'unblock' | 'invite' | 'invites' | 'revokeInvite'
> {
  const { acquaintances, directory, host, ownName, self, store } = daemon;

  /** One of some peers by its petname, name, peer id or the end of that; undefined when none is meant. */
  const among = (who: string, peers: readonly string[]): string | undefined => {
    const known = directory.known(who);
    if (known !== undefined) return peers.includes(known) ? known : undefined;
    const ending = who.replace(/^…/, '');
    const [found, ...others] =
      ending.length < MIN_ENDING_CHARACTERS ? [] : peers.filter((peer) => peer.endsWith(ending));
    return others.length === 0 ? found : undefined;
  };

  const requestOf = (who: string): string => {
    const peers = acquaintances.requests.map(({ peer }) => peer);
    const peer = among(who, peers);
    if (peer === undefined) {
      throw new ControlError('not-found', `nobody who is called ${who} has asked to write to you`, {
        field: 'who',
        hint: 'see "tincan requests"; who has not asked becomes a friend with "tincan add"',
      });
    }
    return peer;
  };

  const blockedView = ({ peer, sinceMs }: BlockedPeer): OperationResult<'block'> => {
    const { peerId, name, petname } = peerView(daemon, peer, { online: false, lastSeenMs: null });
    return { peerId, name, petname, since: iso(sinceMs) };
  };

  const inviteView = ({ id, reusable, createdMs, expiresMs }: InviteRow) => ({
    id,
    reusable,
    createdAt: iso(createdMs),
    expiresAt: iso(expiresMs),
  });

  return {
    requests: () => ({
      requests: acquaintances.requests.map(({ peer, receivedMs, sentAtMs, text }) => ({
        peerId: peer,
        name: directory.certifiedName(peer),
        safetyNumber: numberOf(self, peer),
        receivedAt: iso(receivedMs),
        sentAt: iso(sentAtMs),
        text,
      })),
    }),

    async accept({ who, petname }) {
      const peer = requestOf(who);
      await directory.addContact(peer, petname ?? null);
      return viewOfContact(daemon, peer);
    },

    async decline({ who }) {
      const peerId = requestOf(who);
      await acquaintances.decline(peerId);
      return { peerId };
    },

    blocked: () => ({ blocked: acquaintances.blocked.map(blockedView) }),

    async block({ who }, { signal }) {
      const asking = acquaintances.requests.map(({ peer }) => peer);
      const peer = among(who, asking) ?? (await directory.resolve(who, { signal }));
      if (peer === self) throw new ControlError('invalid', 'that is this daemon itself', { field: 'who' });
      await acquaintances.block(peer);
      return blockedView(acquaintances.blocked.find((blocked) => blocked.peer === peer)!);
    },

    async unblock({ who }) {
      const peerId = among(
        who,
        acquaintances.blocked.map(({ peer }) => peer),
      );
      if (peerId === undefined) {
        throw new ControlError('not-found', `you have not blocked ${who}`, {
          field: 'who',
          hint: 'see "tincan blocked"',
        });
      }
      await acquaintances.unblock(peerId);
      return { peerId };
    },

    async invite({ reusable, expiresInMs }) {
      const token = newInviteToken();
      const createdMs = daemon.nowMs();
      const made = { reusable, expiresMs: createdMs + expiresInMs };
      const id = await store.call('invites.add', { hash: hashOfToken(token), ...made, nowMs: createdMs });
      if (id === undefined) {
        throw new ControlError('conflict', 'there are too many invites that nobody has come with', {
          hint: 'see "tincan invites", and revoke some',
        });
      }
      const invite = formatInvite({
        peerId: self,
        name: ownName.name,
        // What does not fit is the end of the list: what can be used from afar comes first.
        multiaddrs: byReach(host.getMultiaddrs()).map((address) =>
          address.decapsulateCode(CODE_P2P).toString(),
        ),
        token,
      });
      return { ...inviteView({ id, createdMs, uses: 0, ...made }), invite };
    },

    async invites() {
      const rows = await store.call('invites.list', { nowMs: daemon.nowMs() });
      return { invites: rows.map((row) => ({ ...inviteView(row), uses: row.uses })) };
    },

    async revokeInvite({ id }) {
      if (!(await store.call('invites.revoke', { id }))) {
        throw new ControlError('not-found', `there is no invite ${id}`, {
          field: 'id',
          hint: 'see "tincan invites"',
        });
      }
      return { id };
    },
  };
}
