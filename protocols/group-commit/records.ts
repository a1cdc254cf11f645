import type { DatabasePages } from './database-pages.ts';

export type ColumnValue = null | number | bigint | string | Uint8Array;

/** A row, or an entry of an index, as a page has it. */
export interface PageRecord {
  /** Of a table with row numbers. */
  row: number | undefined;
  values: ColumnValue[];
}

/** What a page of a b-tree holds. Entries that can't be read are not among the records, only counted. */
export interface BTreePage {
  ofIndex: boolean;
  children: number[];
  records: PageRecord[];
  /** Pages that long records go on in. */
  overflow: number[];
  unreadable: number;
}

const TABLE_LEAF = 13;
const TABLE_INTERIOR = 5;
const INDEX_LEAF = 10;
const INDEX_INTERIOR = 2;

/** No message, card, or blob of a mailbox is near this; a length beyond it is damage, not a reason to take memory. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;

const decoder = new TextDecoder('utf-8', { fatal: true });

class Unreadable extends Error {}

/** SQLite's variable-length integers: 1 to 9 bytes, big-endian. */
function varint(bytes: Uint8Array, at: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new Unreadable();
    if (i === 8) value = value * 256 + byte;
    else value = value * 128 + (byte & 0x7f);
    if (byte < 0x80 || i === 8) {
      if (!Number.isSafeInteger(value)) throw new Unreadable();
      return { value, end: at + i + 1 };
    }
  }
  throw new Unreadable();
}

const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8] as const;

function readInteger(payload: Buffer, at: number, bytes: number): number | bigint {
  if (bytes <= 6) return payload.readIntBE(at, bytes);
  const value = payload.readBigInt64BE(at);
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

function readValue(payload: Buffer, type: number, at: number): { value: ColumnValue; bytes: number } {
  if (type === 0) return { value: null, bytes: 0 };
  if (type === 8 || type === 9) return { value: type - 8, bytes: 0 };
  const bytes = type <= 6 ? INTEGER_BYTES[type]! : type === 7 ? 8 : Math.floor((type - 12) / 2);
  if (type === 10 || type === 11 || at + bytes > payload.byteLength) throw new Unreadable();
  if (type <= 6) return { value: readInteger(payload, at, bytes), bytes };
  if (type === 7) return { value: payload.readDoubleBE(at), bytes };
  const content = payload.subarray(at, at + bytes);
  if (type % 2 === 0) return { value: Uint8Array.from(content), bytes };
  try {
    return { value: decoder.decode(content), bytes };
  } catch {
    throw new Unreadable();
  }
}

function readValues(payload: Buffer): ColumnValue[] {
  const { value: headerBytes, end } = varint(payload, 0);
  if (headerBytes > payload.byteLength) throw new Unreadable();
  const values: ColumnValue[] = [];
  let at = headerBytes;
  for (let next = end; next < headerBytes;) {
    const type = varint(payload, next);
    const { value, bytes } = readValue(payload, type.value, at);
    values.push(value);
    at += bytes;
    next = type.end;
  }
  // What is left over, or would be, shows that the header is not this record's.
  if (at !== payload.byteLength) throw new Unreadable();
  return values;
}

/** The bytes of a record: those in the page itself, then those in the pages it goes on in. */
function payloadAt(
  pages: DatabasePages,
  page: Buffer,
  at: number,
  bytes: number,
  maxLocal: number,
  overflow: number[],
): Buffer {
  const usable = pages.usableBytes;
  if (bytes > MAX_RECORD_BYTES) throw new Unreadable();
  if (bytes <= maxLocal) {
    if (at + bytes > usable) throw new Unreadable();
    return Buffer.from(page.subarray(at, at + bytes));
  }
  const minLocal = Math.floor(((usable - 12) * 32) / 255) - 23;
  const surplus = minLocal + ((bytes - minLocal) % (usable - 4));
  const local = surplus <= maxLocal ? surplus : minLocal;
  if (at + local + 4 > usable) throw new Unreadable();
  const payload = Buffer.alloc(bytes);
  page.copy(payload, 0, at, at + local);
  let filled = local;
  let next = page.readUInt32BE(at + local);
  while (filled < bytes) {
    const part = pages.page(next);
    if (part === undefined) throw new Unreadable();
    overflow.push(next);
    filled += part.copy(payload, filled, 4, Math.min(usable, 4 + bytes - filled));
    next = part.readUInt32BE(0);
  }
  return payload;
}

/** Reads a page as one of a b-tree; undefined when it is none. */
export function readBTreePage(pages: DatabasePages, number: number): BTreePage | undefined {
  const found = pages.page(number);
  if (found === undefined) return undefined;
  // The next page that is read takes the buffer.
  const page = Buffer.from(found);
  const start = number === 1 ? 100 : 0;
  const kind = page[start]!;
  const interior = kind === TABLE_INTERIOR || kind === INDEX_INTERIOR;
  if (!interior && kind !== TABLE_LEAF && kind !== INDEX_LEAF) return undefined;
  const ofIndex = kind === INDEX_LEAF || kind === INDEX_INTERIOR;
  const cells = page.readUInt16BE(start + 3);
  const pointers = start + (interior ? 12 : 8);
  const usable = pages.usableBytes;
  if (pointers + 2 * cells > usable) return undefined;
  const maxLocal = ofIndex ? Math.floor(((usable - 12) * 64) / 255) - 23 : usable - 35;

  const result: BTreePage = { ofIndex, children: [], records: [], overflow: [], unreadable: 0 };
  for (let cell = 0; cell < cells; cell++) {
    try {
      let at = page.readUInt16BE(pointers + 2 * cell);
      if (at < pointers || at + 4 > usable) throw new Unreadable();
      if (interior) {
        result.children.push(page.readUInt32BE(at));
        at += 4;
        if (!ofIndex) continue;
      }
      const payload = varint(page, at);
      const row = ofIndex ? undefined : varint(page, payload.end);
      const from = row?.end ?? payload.end;
      const overflow: number[] = [];
      const values = readValues(payloadAt(pages, page, from, payload.value, maxLocal, overflow));
      result.records.push({ row: row?.value, values });
      result.overflow.push(...overflow);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      result.unreadable++;
    }
  }
  if (interior) result.children.push(page.readUInt32BE(start + 8));
  return result;
}
