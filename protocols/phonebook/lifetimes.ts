const DAY_MS = 24 * 60 * 60 * 1000;

/** How long a name lasts if its owner doesn't come back: a long holiday. */
export const DEFAULT_LIFETIME_MS = 30 * DAY_MS;

/** A certificate can't be revoked, so this is also the longest a released name can still be shown as someone's. */
export const MAX_LIFETIME_MS = 90 * DAY_MS;

/** How far clocks may be apart: wrong time zones are common and harm nothing that lasts for days. */
export const CLOCK_TOLERANCE_MS = DAY_MS;
