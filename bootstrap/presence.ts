import { PRESENCE_MS } from '../protocols/phonebook/protocol.ts';
import type { ListEntry, ListPage, ListQuery, OwnName } from '../protocols/phonebook/protocol.ts';

/** What a peer said of itself when it was last heard of, verified. */
export interface PresenceDetails {
  peerRecord: Uint8Array;
  contactCard: Uint8Array | null;
  /** 0 without a card. */
  contactCardExpiresMs: number;
  listed: boolean;
  /** Where it can be reached, in a form that compares: what is kept on disk is kept anew when it changes. */
  reachedAt: string;
}

export interface PresenceRow extends PresenceDetails {
  readonly peerId: string;
  /** Undefined until it has been looked up. */
  ownName: OwnName | null | undefined;
  connected: boolean;
  lastSeenMs: number;
  /** The `reachedAt` that is on disk, and since when. */
  saved: { reachedAt: string; atMs: number } | undefined;
}

export interface PresenceLimits {
  maxPeers: number;
  maxPresenceBytes: number;
}

/** Rows looked at to find one that can go, when there is no room. They are in the order of their last renewal. */
const EVICTION_LOOK = 64;

/** What a row takes beside its bytes. */
const OVERHEAD_BYTES = 500;

/**
 * Who is there. In memory: after a restart everybody is heard of within 30 s. Peers that have left stay known until the
 * room is needed.
 */
export class Presence {
  readonly #nowMs: () => number;
  readonly #limits: PresenceLimits;
  /** Ordered by last renewal. */
  readonly #rows = new Map<string, PresenceRow>();
  #bytes = 0;
  /** The order of the listing: names first, then peer ids. Sorted; each stands for a row in `#listed`. */
  #order: string[] = [];
  readonly #listed = new Map<string, PresenceRow>();
  readonly #named = new Map<string, PresenceRow>();

  constructor({ nowMs, limits }: { nowMs: () => number; limits: PresenceLimits }) {
    this.#nowMs = nowMs;
    this.#limits = limits;
  }

  get(peerId: string): PresenceRow | undefined {
    return this.#rows.get(peerId);
  }

  /** Takes a renewal. Undefined when there is no room for one more peer. */
  renewed(peerId: string, details: PresenceDetails): PresenceRow | undefined {
    const known = this.#rows.get(peerId);
    const growth = sizeOf(details) - (known === undefined ? 0 : sizeOf(known));
    if (!this.#makeRoom(known === undefined ? 1 : 0, growth, peerId)) return undefined;
    const row: PresenceRow = known ?? {
      ...details,
      peerId,
      ownName: undefined,
      connected: true,
      lastSeenMs: 0,
      saved: undefined,
    };
    Object.assign(row, details, { connected: true, lastSeenMs: this.#nowMs() });
    this.#bytes += growth;
    this.#rows.delete(peerId);
    this.#rows.set(peerId, row);
    this.#list(row);
    return row;
  }

  /** Sets the name of a peer. Whoever was known by it before no longer is. */
  named(peerId: string, ownName: OwnName | null): void {
    const row = this.#rows.get(peerId);
    if (row === undefined) return;
    if (ownName !== null) {
      const before = this.#named.get(ownName.name);
      if (before !== undefined && before !== row) this.named(before.peerId, null);
    }
    this.#unlist(row);
    if (row.ownName != null) this.#named.delete(row.ownName.name);
    row.ownName = ownName;
    if (ownName !== null) this.#named.set(ownName.name, row);
    this.#list(row);
  }

  /** The last connection of a peer has closed. */
  disconnected(peerId: string): PresenceRow | undefined {
    const row = this.#rows.get(peerId);
    if (row === undefined || !row.connected) return undefined;
    if (this.#isRecent(row)) row.lastSeenMs = this.#nowMs();
    row.connected = false;
    return row;
  }

  isOnline(row: PresenceRow): boolean {
    return row.connected && this.#isRecent(row);
  }

  /** A page of those who were heard of within 90 s and agreed to be listed. */
  list({ onlineOnly, limit, after }: ListQuery): ListPage {
    const entries: ListEntry[] = [];
    const gone = new Set<string>();
    let last: string | null = null;
    let next: string | null = null;
    for (let at = this.#find(after, true); at < this.#order.length; at++) {
      const key = this.#order[at]!;
      const row = this.#listed.get(key)!;
      if (!this.#isRecent(row)) gone.add(key);
      else if (!onlineOnly || row.connected) {
        if (entries.length === limit) {
          next = last;
          break;
        }
        entries.push(this.#entryOf(row));
        last = key;
      }
    }
    if (gone.size > 0) {
      this.#order = this.#order.filter((key) => !gone.has(key));
      for (const key of gone) this.#listed.delete(key);
    }
    return { entries, next };
  }

  /** Peers known, and online. */
  counts(): { known: number; online: number } {
    let online = 0;
    for (const row of this.#rows.values()) if (this.isOnline(row)) online++;
    return { known: this.#rows.size, online };
  }

  #isRecent(row: PresenceRow): boolean {
    // A clock set back far makes it long ago, too: else whoever left before would be listed until it comes round.
    return Math.abs(this.#nowMs() - row.lastSeenMs) < PRESENCE_MS;
  }

  #entryOf({ peerId, ownName, connected, lastSeenMs }: PresenceRow): ListEntry {
    // A name that has expired meanwhile is nobody's; the row keeps its place until it is named anew.
    const name = ownName != null && ownName.expiresMs > this.#nowMs() ? ownName.name : null;
    return { peerId, name, online: connected, lastSeenMs };
  }

  #list(row: PresenceRow): void {
    const key = keyOf(row.ownName?.name, row.peerId);
    if (!row.listed) {
      this.#unlist(row);
      return;
    }
    if (this.#listed.has(key)) return;
    this.#order.splice(this.#find(key, false), 0, key);
    this.#listed.set(key, row);
  }

  #unlist(row: PresenceRow): void {
    const key = keyOf(row.ownName?.name, row.peerId);
    if (this.#listed.get(key) !== row) return;
    this.#order.splice(this.#find(key, false), 1);
    this.#listed.delete(key);
  }

  /** Where `key` stands in the order, or would; with `behind`, the place after it. */
  #find(key: string, behind: boolean): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = this.#order[middle]!;
      if (there < key || (behind && there === key)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #makeRoom(rows: number, bytes: number, exceptPeerId: string): boolean {
    const fits = (): boolean =>
      this.#rows.size + rows <= this.#limits.maxPeers && this.#bytes + bytes <= this.#limits.maxPresenceBytes;
    let looked = 0;
    for (const row of this.#rows.values()) {
      if (fits() || looked++ === EVICTION_LOOK) break;
      if (row.peerId === exceptPeerId || this.isOnline(row)) continue;
      this.#unlist(row);
      if (row.ownName != null) this.#named.delete(row.ownName.name);
      this.#rows.delete(row.peerId);
      this.#bytes -= sizeOf(row);
    }
    return fits();
  }
}

/** Letters before the key keep names and peer ids apart, and names first. */
function keyOf(name: string | undefined, peerId: string): string {
  return name === undefined ? `p:${peerId}` : `n:${name}`;
}

function sizeOf({ peerRecord, contactCard, reachedAt }: PresenceDetails): number {
  return peerRecord.byteLength + (contactCard?.byteLength ?? 0) + 2 * reachedAt.length + OVERHEAD_BYTES;
}
