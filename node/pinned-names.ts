import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { NodeStore } from './store/operations.ts';
import type { Pin } from './store/people.ts';
import type { KeyChangeRow } from './store/verification.ts';

/**
 * Names of people who merely said hello are pinned until there are so many, about 2 MB: whoever makes up peers and names
 * can't fill our memory and disk. Names that the user asks for are always pinned.
 */
const MAX_NAMES_OF_STRANGERS = 10_000;

/** A pinned name that a phonebook has given to another key. Nothing is sent to the name until the user decides. */
export interface KeyChange {
  name: string;
  /** The key that the name is pinned to. */
  known: string;
  /** The key that the phonebook gave it to. */
  claimed: string;
  phonebook: string;
  seenMs: number;
}

/** Why a certificate is not what the name stands for here. */
export interface Doubt {
  /**
   * - `changed`: a newer certificate, or one of another phonebook, for another key: the user has to decide
   * - `same-seq`: the phonebook has signed two with one `seq`, for different keys: the one known first counts
   * - `older`: an earlier certificate than the one that is pinned
   * - `decided`: for a key that the user has decided against
   */
  kind: 'changed' | 'same-seq' | 'older' | 'decided';
  /** For the user. */
  message: string;
  /** Whether it is the first time. */
  isNew: boolean;
}

/** Whom each name belongs to: kept at its first use, never changed but by the user. */
export interface PinnedNames {
  /** The peer id a name was first seen to stand for. */
  ownerOf(name: string): string | undefined;
  /** The name by which a peer is known here. */
  nameOf(peer: string): string | undefined;
  /** What the user has not decided yet, the first seen first. */
  readonly changes: readonly KeyChange[];
  changeOf(name: string): KeyChange | undefined;
  /** Whether a change can still be decided. */
  isOpen(change: KeyChange): boolean;
  /**
   * Pins a name that a certificate, already verified, proves.
   *
   * @param asked whether the user asked for it
   * @returns a doubt when the name is pinned to somebody else; then it still stands for that one
   */
  pin(
    certificate: NameCertificate,
    bytes: Uint8Array,
    options: { asked: boolean; nowMs: number },
  ): Promise<Doubt | null>;
  /** The user stays with the known key: the claimed one asks no more. */
  keep(change: KeyChange): Promise<void>;
  /** The user takes the new key: the known one loses its mark of verification, and asks no more. */
  accept(change: KeyChange, options: { nowMs: number }): Promise<void>;
}

/** What to tell the user of a key change. */
export function describeChange({ name, known, claimed, phonebook }: KeyChange): string {
  return `the key behind the name ${name} has changed: it was ${known}, and is ${claimed} now, as the phonebook ${phonebook} has it; nothing is sent to ${name} until you decide: tincan trust ${name}`;
}

/** Reads the pins; a peer that has had several names is known by the one with the latest certificate. */
export async function pinnedNames(
  store: NodeStore,
  { nowMs, maxOfStrangers = MAX_NAMES_OF_STRANGERS }: { nowMs: number; maxOfStrangers?: number },
): Promise<PinnedNames> {
  const owners = new Map<string, Pick<Pin, 'peer' | 'phonebook' | 'seq'>>();
  const names = new Map<string, string>();
  /** At most one for each name: the first counts until the user has decided, so that it is the one they were shown. */
  const changes = new Map<string, KeyChange>();
  const rows = new Map<KeyChange, KeyChangeRow>();
  const decided = new Map<string, Set<string>>();

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

  const decide = (name: string, peer: string): void => {
    const peers = decided.get(name) ?? new Set();
    decided.set(name, peers.add(peer));
  };

  const open = (row: KeyChangeRow, known: string): void => {
    const { name, peer: claimed, phonebook, seenMs } = row;
    const change = { name, known, claimed, phonebook, seenMs };
    changes.set(name, change);
    rows.set(change, row);
  };

  /** Takes a change's row for a decision, once; a decision that does not reach the disk leaves it open. */
  const deciding = async (
    change: KeyChange,
    commit: (row: KeyChangeRow) => Promise<unknown>,
  ): Promise<void> => {
    const row = rows.get(change);
    if (row === undefined) return;
    rows.delete(change);
    try {
      await commit(row);
      changes.delete(change.name);
    } catch (error) {
      rows.set(change, row);
      throw error;
    }
  };

  const savedChanges = await store.call('key-changes.list', undefined);
  for (const row of savedChanges.sort((a, b) => a.seenMs - b.seenMs)) {
    const owner = owners.get(row.name);
    if (row.decided !== 0) decide(row.name, row.peer);
    else if (owner !== undefined) open(row, owner.peer);
  }

  /** What is wrong with a certificate for a name that is somebody else's here. */
  const doubt = async (
    { name, owner, phonebook, seq }: NameCertificate,
    certificate: Uint8Array,
    known: Pick<Pin, 'peer' | 'phonebook' | 'seq'>,
    nowMs: number,
  ): Promise<Doubt> => {
    const said = `the phonebook ${phonebook} has a certificate of the name ${name} for ${owner}`;
    const still = `it stays with ${known.peer}`;
    if (decided.get(name)?.has(owner) === true)
      return { kind: 'decided', message: `${said}; as you decided, ${still}`, isNew: false };
    if (known.phonebook === phonebook && seq < known.seq)
      return { kind: 'older', message: `${said}, older than the one known here; ${still}`, isNew: false };
    if (known.phonebook === phonebook && seq === known.seq) {
      const message = `${said}, and has signed another with the same number for ${known.peer}: it is damaged, or lies; ${still}`;
      return { kind: 'same-seq', message, isNew: true };
    }
    const before = changes.get(name);
    if (before !== undefined) return { kind: 'changed', message: describeChange(before), isNew: false };
    const row = { name, peer: owner, phonebook, seq, certificate, seenMs: nowMs };
    // Before it is on disk, so that nothing is sent meanwhile.
    open(row, known.peer);
    await store.call('key-changes.put', { ...row, decided: false });
    return { kind: 'changed', message: describeChange(changes.get(name)!), isNew: true };
  };

  return {
    ownerOf: (name) => owners.get(name)?.peer,
    nameOf: (peer) => names.get(peer),
    changeOf: (name) => changes.get(name),
    isOpen: (change) => rows.has(change),
    get changes() {
      return [...changes.values()];
    },

    async pin(named, certificate, { asked, nowMs }) {
      const { name, owner, phonebook, seq } = named;
      const known = owners.get(name);
      if (known !== undefined && known.peer !== owner) return doubt(named, certificate, known, nowMs);
      if (known === undefined && !asked && owners.size >= maxOfStrangers) return null;
      if (known !== undefined && (known.phonebook !== phonebook || known.seq >= seq)) return null;
      // Before it is on disk, so that of two lookups at once the second sees the first.
      owners.set(name, { peer: owner, phonebook, seq });
      names.set(owner, name);
      await store.call('pins.put', { name, phonebook, peer: owner, seq, certificate });
      return null;
    },

    keep: (change) =>
      deciding(change, async (row) => {
        await store.call('key-changes.put', { ...row, decided: true });
        decide(change.name, change.claimed);
      }),

    accept: (change, { nowMs }) =>
      deciding(change, async ({ seq }) => {
        const { name, known, claimed, phonebook } = change;
        await store.call('key-changes.accept', { name, peer: claimed, nowMs });
        decide(name, known);
        owners.set(name, { peer: claimed, phonebook, seq });
        names.set(claimed, name);
        if (names.get(known) === name) names.delete(known);
      }),
  };
}
