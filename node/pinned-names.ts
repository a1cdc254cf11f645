import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { NodeStore } from './store/operations.ts';
import type { Pin } from './store/people.ts';

/**
 * Names of people who merely said hello are pinned until there are so many, about 2 MB: whoever makes up peers and names
 * can't fill our memory and disk. Names that the user asks for are always pinned.
 */
const MAX_NAMES_OF_STRANGERS = 10_000;

/** Whom each name belongs to: kept at its first use, never changed in silence. */
export interface PinnedNames {
  /** The peer id a name was first seen to stand for. */
  ownerOf(name: string): string | undefined;
  /** The name by which a peer is known here. */
  nameOf(peer: string): string | undefined;
  /**
   * Pins a name that a certificate, already verified, proves.
   *
   * @param asked whether the user asked for it
   * @returns a warning when the name is pinned to somebody else; then nothing is changed
   */
  pin(certificate: NameCertificate, bytes: Uint8Array, options: { asked: boolean }): Promise<string | null>;
}

/** Reads the pins; a peer that has had several names is known by the one with the latest certificate. */
export async function pinnedNames(
  store: NodeStore,
  { nowMs, maxOfStrangers = MAX_NAMES_OF_STRANGERS }: { nowMs: number; maxOfStrangers?: number },
): Promise<PinnedNames> {
  const owners = new Map<string, Pick<Pin, 'peer' | 'phonebook' | 'seq'>>();
  const names = new Map<string, string>();

  const saved = await store.call('pins.list', undefined);
  const expiryOf = async ({ certificate }: Pin): Promise<number> =>
    verifyCertificate(certificate, { nowMs }).then(
      ({ expiresMs }) => expiresMs,
      () => 0,
    );
  for (const [peer, pins] of Map.groupBy(saved, ({ peer }) => peer)) {
    let best = pins[0]!;
    let bestMs = pins.length === 1 ? 0 : await expiryOf(best);
    for (const pin of pins.slice(1)) {
      const expiresMs = await expiryOf(pin);
      if (expiresMs > bestMs) [best, bestMs] = [pin, expiresMs];
    }
    names.set(peer, best.name);
  }
  for (const { name, peer, phonebook, seq } of saved) owners.set(name, { peer, phonebook, seq });

  return {
    ownerOf: (name) => owners.get(name)?.peer,
    nameOf: (peer) => names.get(peer),

    async pin({ name, owner, phonebook, seq }, certificate, { asked }) {
      const known = owners.get(name);
      if (known !== undefined && known.peer !== owner)
        return `the name ${name} now belongs to ${owner}; this daemon knows it as ${known.peer}`;
      if (known === undefined && !asked && owners.size >= maxOfStrangers) return null;
      if (known !== undefined && (known.phonebook !== phonebook || known.seq >= seq)) return null;
      // Before it is on disk, so that of two lookups at once the second sees the first.
      owners.set(name, { peer: owner, phonebook, seq });
      names.set(owner, name);
      await store.call('pins.put', { name, phonebook, peer: owner, seq, certificate });
      return null;
    },
  };
}
