import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/** With checksums over big-endian words; one less for little-endian. */
const BIG_ENDIAN_MAGIC = 0x377f0683;

/** The pages in a write-ahead log, as far as its commits are whole. */
export interface LogPages extends Disposable {
  readonly pageBytes: number;
  /** Pages of the database after the last commit. */
  readonly databasePages: number;
  /** Copies the newest version of a page into `to`; false when the log has none. */
  read(number: number, to: Buffer): boolean;
}

/** Adds to SQLite's running checksum (https://www.sqlite.org/fileformat2.html#checksum_algorithm). */
function addChecksum(sums: [number, number], bytes: Buffer, bigEndian: boolean): void {
  let [first, second] = sums;
  for (let at = 0; at < bytes.byteLength; at += 8) {
    const a = bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const b = bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
    first = (first + a + second) >>> 0;
    second = (second + b + first) >>> 0;
  }
  sums[0] = first;
  sums[1] = second;
}

/** Reads a log up to its last whole commit; undefined when there is none, as in one that is empty or not a log. */
export function logPages(file: string): LogPages | undefined {
  const descriptor = openSync(file, 'r');
  const header = Buffer.alloc(HEADER_BYTES);
  const places = new Map<number, number>();
  let pageBytes = 0;
  let databasePages = 0;

  const readCommits = (): void => {
    if (readSync(descriptor, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) return;
    const magic = header.readUInt32BE(0);
    if ((magic & ~1) >>> 0 !== BIG_ENDIAN_MAGIC - 1) return;
    const bigEndian = magic === BIG_ENDIAN_MAGIC;
    const sums: [number, number] = [0, 0];
    addChecksum(sums, header.subarray(0, 24), bigEndian);
    if (header.readUInt32BE(24) !== sums[0] || header.readUInt32BE(28) !== sums[1]) return;
    pageBytes = header.readUInt32BE(8);
    if (pageBytes < 512 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) return;
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + pageBytes);
    let open: [page: number, at: number][] = [];
    for (let at = HEADER_BYTES; ; at += frame.byteLength) {
      if (readSync(descriptor, frame, 0, frame.byteLength, at) < frame.byteLength) return;
      // Frames of an earlier use of the file have another salt.
      if (frame.compare(header, 16, 24, 8, 16) !== 0) return;
      addChecksum(sums, frame.subarray(0, 8), bigEndian);
      addChecksum(sums, frame.subarray(FRAME_HEADER_BYTES), bigEndian);
      if (frame.readUInt32BE(16) !== sums[0] || frame.readUInt32BE(20) !== sums[1]) return;
      open.push([frame.readUInt32BE(0), at + FRAME_HEADER_BYTES]);
      const pagesAfterCommit = frame.readUInt32BE(4);
      if (pagesAfterCommit === 0) continue;
      for (const [page, place] of open) places.set(page, place);
      open = [];
      databasePages = pagesAfterCommit;
    }
  };

  if (fstatSync(descriptor).size > 0) readCommits();
  if (databasePages === 0) {
    closeSync(descriptor);
    return undefined;
  }
  return {
    pageBytes,
    databasePages,
    read(number, to) {
      const place = places.get(number);
      return place !== undefined && readSync(descriptor, to, 0, pageBytes, place) === pageBytes;
    },
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}
