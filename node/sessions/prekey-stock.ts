/** One-time prekeys at a mailbox: as many as it takes. */
export const STOCK = 100;

/** Topped up when fewer are left. */
export const STOCK_LOW = 20;

/** How long a prekey is handed out: as long as a mailbox does. */
export const PREKEY_LIFETIME_MS = 30 * 24 * 3600_000;

/** How often the last-resort prekey is replaced: what was sealed to it can be read for as long as its secret is kept. */
export const LAST_RESORT_MS = 7 * 24 * 3600_000;

/**
 * How long the secret of a prekey is kept once nobody is given the prekey any more, because it has expired or, a last-resort
 * one, its successor was made: a sender opens a session at once and uses it for a day, and a mailbox keeps a blob for 21
 * days. The rest is for clocks. To be looked at after the mailboxes have been emptied: who comes back after months finds
 * blobs there that need it.
 */
export const SECRET_KEPT_MS = 30 * 24 * 3600_000;

/** A clock that is further back than this was set: then the age of a prekey says nothing. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * What to make and publish at a mailbox.
 *
 * @param init.left one-time prekeys of ours that the mailbox says it still holds
 * @param init.lastResortMadeMs when the newest last-resort prekey was made, if there is one
 */
export function prekeysDue({
  left,
  lastResortMadeMs,
  nowMs,
}: {
  left: number;
  lastResortMadeMs: number | undefined;
  nowMs: number;
}): { oneTime: number; lastResort: boolean } {
  const ageMs = lastResortMadeMs === undefined ? Infinity : nowMs - lastResortMadeMs;
  return {
    oneTime: left < STOCK_LOW ? STOCK - Math.max(0, left) : 0,
    lastResort: ageMs >= LAST_RESORT_MS || ageMs < -CLOCK_TOLERANCE_MS,
  };
}
