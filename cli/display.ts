import { safeLine } from './terminal-text.ts';

/** What a person reads: names, times and tables. Pure; clocks are parameters. */

interface Named {
  peerId: string;
  name: string | null;
  petname?: string | null;
}

/** Enough of a peer id to tell a screenful of people apart: its beginning is the same for all Ed25519 keys. */
const SHORT_ID_CHARS = 8;

export function shortPeerId(peerId: string): string {
  return `…${safeLine(peerId.slice(-SHORT_ID_CHARS))}`;
}

/** The name the user gave, else the one they claimed, else the end of their peer id. */
export function displayName({ peerId, name, petname }: Named): string {
  const known = petname ?? name;
  return known === null || known === undefined ? shortPeerId(peerId) : safeLine(known);
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A time of day today, the day and time this year, the whole date before: in the reader's time zone. */
export function friendlyTime(iso: string, now: Date): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return safeLine(iso);
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}`;
  if (time.toDateString() === now.toDateString()) return clock;
  const day = `${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  return time.getFullYear() === now.getFullYear()
    ? `${day} ${clock}`
    : `${time.getFullYear()}-${day} ${clock}`;
}

/** How long ago something was: `just now`, `5 min ago`, `3 h ago`, `12 days ago`. */
export function friendlyAge(iso: string, now: Date): string {
  const age = now.getTime() - new Date(iso).getTime();
  if (age < MINUTE) return 'just now';
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min ago`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h ago`;
  const days = Math.floor(age / DAY);
  return days === 1 ? 'yesterday' : `${days} days ago`;
}

function pad(number: number): string {
  return String(number).padStart(2, '0');
}

/** Rows with columns aligned by the widest cell; the last column runs free. */
export function table(rows: readonly (readonly string[])[], gap = '  '): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - width(cell)),
      )
      .join(gap)
      .trimEnd(),
  );
}

/** Characters, which is what most terminals give a column each. */
function width(text: string): number {
  return Array.from(text).length;
}

/** `1 message`, `2 messages`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
