import { closeSync, existsSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { logPages } from './log-pages.ts';

/** SQLite's own default, for a file whose header can't be read: it is what every store of ours is made with. */
const USUAL_PAGE_BYTES = 4096;

const MAGIC = Buffer.from('SQLite format 3\0');
const HEADER_BYTES = 100;

/** A database file as its pages, without SQLite: whatever is wrong with some, the others can be read. */
export interface DatabasePages extends Disposable {
  /** Whether the file begins as a database does; without that, the usual page size is assumed. */
  readonly hasHeader: boolean;
  readonly pageBytes: number;
  /** Of a page, what the database uses: the rest is reserved. */
  readonly usableBytes: number;
  readonly count: number;
  /** A page by its number, from 1; undefined when it is not in the file as a whole. Valid until the next call. */
  page(number: number): Buffer | undefined;
  /** Writes the database with its log applied, as a file that SQLite can look at without touching the original. */
  copyTo(file: string): void;
}

function pageBytesIn(header: Buffer): number | undefined {
  if (header.byteLength < HEADER_BYTES || !header.subarray(0, MAGIC.byteLength).equals(MAGIC))
    return undefined;
  const field = header.readUInt16BE(16);
  const bytes = field === 1 ? 65_536 : field;
  return bytes >= 512 && (bytes & (bytes - 1)) === 0 ? bytes : undefined;
}

/**
 * Opens a database file and the write-ahead log beside it, of which only whole commits count, as for SQLite. The
 * format: https://www.sqlite.org/fileformat2.html.
 *
 * Nobody in this process may hold the file by SQLite: closing it here would drop that lock.
 */
export function openPages(file: string): DatabasePages {
  const descriptor = openSync(file, 'r');
  const log = existsSync(`${file}-wal`) ? logPages(`${file}-wal`) : undefined;
  const fileBytes = fstatSync(descriptor).size;
  const header = Buffer.alloc(HEADER_BYTES);
  const headerRead = readSync(descriptor, header, 0, HEADER_BYTES, 0);
  const fromFile = pageBytesIn(header.subarray(0, headerRead));
  const pageBytes = log?.pageBytes ?? fromFile ?? USUAL_PAGE_BYTES;
  const buffer = Buffer.alloc(pageBytes);
  const count = Math.max(Math.ceil(fileBytes / pageBytes), log?.databasePages ?? 0);

  const page = (number: number): Buffer | undefined => {
    if (number < 1 || number > count) return undefined;
    if (log?.read(number, buffer) === true) return buffer;
    return readSync(descriptor, buffer, 0, pageBytes, (number - 1) * pageBytes) === pageBytes
      ? buffer
      : undefined;
  };
  const first = page(1);
  const hasHeader = first !== undefined && pageBytesIn(first) === pageBytes;
  // Ours reserve nothing; a header that says otherwise beyond reason is not believed.
  const reserved = hasHeader && first[20]! <= 32 ? first[20]! : 0;

  return {
    hasHeader,
    pageBytes,
    usableBytes: pageBytes - reserved,
    count,
    page,
    copyTo(to) {
      const copy = openSync(to, 'w', 0o600);
      try {
        for (let number = 1; number <= count; number++) {
          const at = (number - 1) * pageBytes;
          if (page(number) !== undefined) writeSync(copy, buffer, 0, pageBytes, at);
          else {
            const rest = readSync(descriptor, buffer, 0, pageBytes, at);
            if (rest > 0) writeSync(copy, buffer, 0, rest, at);
          }
        }
      } finally {
        closeSync(copy);
      }
    },
    [Symbol.dispose]() {
      log?.[Symbol.dispose]();
      closeSync(descriptor);
    },
  };
}
