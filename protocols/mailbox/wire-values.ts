/** What is told to a person about a refusal is cut off here, in characters. */
const MAX_DETAIL_LENGTH = 200;

/** A time from the wire. One beyond what a number holds exactly is beyond every limit too; it stays so. */
export function timeFromWire(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

/** What a refusal says to a person, at most 200 characters of it. */
export function detailFromWire(detail: string): string {
  return detail.slice(0, MAX_DETAIL_LENGTH).toWellFormed();
}
