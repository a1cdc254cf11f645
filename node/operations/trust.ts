import type { ControlOperations, OperationResult } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import type { KeyChange } from '../pinned-names.ts';
import { codeAbout, compareCode, numberOf } from '../verification.ts';
import { isoOrNull, keyChangeOrNull, keyChangeView, peerView } from './daemon.ts';
import type { Daemon } from './daemon.ts';

/** Comparing keys, and deciding between two. */
export function trustOperations(
  daemon: Pick<Daemon, 'directory' | 'events' | 'host' | 'self' | 'touch'>,
): Pick<ControlOperations, 'verification' | 'verify' | 'compareCode' | 'keyChange' | 'decideKeyChange'> {
  const { directory, events, self, touch } = daemon;

  const checkOther = (peerId: string): void => {
    if (peerId === self)
      throw new ControlError('invalid', 'that is this daemon itself', {
        field: 'who',
        hint: 'a safety number is of you and somebody else',
      });
  };

  const view = (peerId: string, who: string): OperationResult<'verification'> => {
    const verifiedMs = directory.verifiedMs(peerId);
    const { name, petname } = peerView(daemon, peerId, { online: false, lastSeenMs: null });
    return {
      peerId,
      name,
      petname,
      verified: verifiedMs !== null,
      verifiedAt: isoOrNull(verifiedMs),
      safetyNumber: numberOf(self, peerId),
      code: codeAbout(peerId, self),
      keyChange: keyChangeOrNull(directory.changeOf(who) ?? directory.changeOf(peerId)),
      blocked: directory.isBlocked(who),
    };
  };

  const changeOf = (who: string): KeyChange => {
    const change = directory.changeOf(who);
    if (change === undefined) {
      throw new ControlError('not-found', `there is nothing to decide about ${who}: no key has changed`, {
        field: 'who',
        hint: '"tincan status" lists the names whose keys have changed',
      });
    }
    return change;
  };

  return {
    async verification({ who }, { signal }) {
      const peerId = await directory.resolve(who, { signal });
      checkOther(peerId);
      return view(peerId, who);
    },

    async compareCode({ who, code }, { signal }) {
      const peer = await directory.resolve(who, { signal });
      checkOther(peer);
      return compareCode(code, { self, peer, who: directory.nameOf(peer) ?? peer });
    },

    async verify({ who, verified, code }, { signal }) {
      // A name in question stands for nobody who could be marked.
      const peer = await directory.recipient(who, { signal });
      checkOther(peer);
      if (verified && code !== undefined) {
        const { result, detail } = compareCode(code, { self, peer, who: directory.nameOf(peer) ?? peer });
        if (result !== 'match') {
          throw new ControlError('conflict', `not marked as verified: ${detail}`, { field: 'code' });
        }
      }
      await directory.setVerified(peer, verified);
      events.append({ type: 'contact', peerId: peer, change: 'changed' });
      return view(peer, who);
    },

    keyChange({ who }) {
      const change = changeOf(who);
      return {
        ...keyChangeView(change),
        knownVerified: directory.verifiedMs(change.known) !== null,
        knownSafetyNumber: numberOf(self, change.known),
        claimedSafetyNumber: numberOf(self, change.claimed),
      };
    },

    async decideKeyChange({ who, decision, claimed }) {
      const change = changeOf(who);
      if (change.claimed !== claimed) {
        throw new ControlError('conflict', `the new key is ${change.claimed}, and not ${claimed}`, {
          field: 'claimed',
          hint: 'look at both keys again',
        });
      }
      const wasFriend = directory.contacts.some(({ peer }) => peer === change.known);
      await directory.decide(change, decision);
      const isMoved = decision === 'accept' && wasFriend;
      events.append({ type: 'contact', peerId: change.known, change: isMoved ? 'removed' : 'changed' });
      if (decision === 'accept') {
        events.append({ type: 'contact', peerId: claimed, change: isMoved ? 'added' : 'changed' });
        if (isMoved) touch.met(claimed);
      }
      const peerId = decision === 'accept' ? claimed : change.known;
      return peerView(daemon, peerId, { online: false, lastSeenMs: null });
    },
  };
}
