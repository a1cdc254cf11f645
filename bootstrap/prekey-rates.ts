import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { GroupOf } from './peer-groups.ts';
import { sharedRate } from './peer-rate.ts';
import type { PrekeyLimits } from './prekey-limits.ts';

/** Why somebody has to wait, and how long. */
export interface TooOften {
  detail: string;
  retryAfterMs: number;
}

/** How often peers, and all peers of an address, may do what with prekeys. Each question counts as having done it. */
export interface PrekeyRates {
  /** A request of whatever kind. */
  request(peer: string, nowMs: number): TooOften | undefined;
  publication(owner: string, nowMs: number): TooOften | undefined;
  /** A take from whatever recipient. */
  take(taker: string, nowMs: number): TooOften | undefined;
  /** A one-time prekey of a recipient, who is given as a key of a map. */
  oneTime(taker: string, recipient: string, nowMs: number): TooOften | undefined;
}

export function prekeyRates(limits: PrekeyLimits, groupOf: GroupOf): PrekeyRates {
  const requests = sharedRate(limits.requestsPerMinute, limits.requestsPerAddress, groupOf);
  const publications = ratesAbout(limits.publications, limits.publicationsPerAddress, groupOf);
  const takes = keyedRate(limits.takesPerAddress);
  const oneTimes = ratesAbout(limits.takesOfRecipient, limits.takesOfRecipientPerAddress, groupOf);
  const unless = (
    { granted, retryAfterMs }: { granted: number; retryAfterMs: number },
    detail: string,
  ): TooOften | undefined => (granted === 1 ? undefined : { detail, retryAfterMs });
  const many = `more than ${limits.requestsPerMinute} requests a minute about prekeys, or too many from one address`;

  return {
    request: (peer, nowMs) => unless(requests.take(peer, 1, nowMs), many),
    publication: (owner, nowMs) =>
      unless(
        publications.take(owner, '', nowMs),
        'too many publications of prekeys, of this owner or from one address',
      ),
    take(taker, nowMs) {
      const group = groupOf(taker);
      if (group === undefined) return undefined;
      return unless(takes.take(group, 1, nowMs), 'too many prekeys taken from one address');
    },
    oneTime: (taker, recipient, nowMs) =>
      unless(
        oneTimes.take(taker, recipient, nowMs),
        'too many prekeys of this recipient, for this taker or for one address',
      ),
  };
}

/** One at a time, for each peer and thing it is about, and for all peers of an address together. */
function ratesAbout(ofPeer: BucketLimits, ofAddress: BucketLimits, groupOf: GroupOf) {
  const own = keyedRate(ofPeer);
  const shared = keyedRate(ofAddress);
  return {
    take(peer: string, about: string, nowMs: number): { granted: number; retryAfterMs: number } {
      const first = own.take(`${peer} ${about}`, 1, nowMs);
      const group = groupOf(peer);
      return first.granted === 0 || group === undefined ? first : shared.take(`${group} ${about}`, 1, nowMs);
    },
  };
}
