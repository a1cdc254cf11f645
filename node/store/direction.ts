/** Which way a message went: written to disk, so the numbers stay. */
export const OUTGOING = 0;
export const INCOMING = 1;
