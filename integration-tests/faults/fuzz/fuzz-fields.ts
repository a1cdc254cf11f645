/** Protobuf without a schema: what it takes to change one field and still hand over something whole. */
interface Field {
  tag: number;
  /** The value as it stands on the wire, without a length. */
  value: Uint8Array;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** Deeper than any message of ours. */
const MAX_DEPTH = 4;

/** Encodes a number of up to 64 bits as a varint. */
export function varint(value: bigint): Uint8Array {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(rest));
  return Uint8Array.from(out);
}

/** Numbers at which decoders go wrong. */
export const EDGES = [
  0n,
  1n,
  127n,
  128n,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  8_640_000_000_000_001n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = start; at < bytes.byteLength && at < start + 10; at++) {
    const byte = bytes[at]!;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

/** The fields of what may be a message; undefined when it can't be one. */
export function readFields(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const tag = readVarint(bytes, at);
    if (tag === undefined || tag.value < 8) return undefined;
    let start = tag.end;
    let end: number;
    switch (tag.value % 8) {
      case VARINT:
        end = readVarint(bytes, start)?.end ?? Number.POSITIVE_INFINITY;
        break;
      case FIXED64:
        end = start + 8;
        break;
      case FIXED32:
        end = start + 4;
        break;
      case LENGTH_DELIMITED: {
        const length = readVarint(bytes, start);
        if (length === undefined) return undefined;
        start = length.end;
        end = start + length.value;
        break;
      }
      default:
        return undefined;
    }
    if (end > bytes.byteLength) return undefined;
    fields.push({ tag: tag.value, value: bytes.subarray(start, end) });
    at = end;
  }
  return fields;
}

function writeFields(fields: readonly Field[]): Uint8Array {
  return Buffer.concat(
    fields.flatMap(({ tag, value }) =>
      tag % 8 === LENGTH_DELIMITED
        ? [varint(BigInt(tag)), varint(BigInt(value.byteLength)), value]
        : [varint(BigInt(tag)), value],
    ),
  );
}

/**
 * Changes one field of a message, or of one within it, and mends the lengths around it, so that the decoder gets past
 * them. What is no message comes back as it is.
 *
 * @param numbers where, what and how; any whole numbers from 0
 * @param change what to do with a value that is changed as bytes
 */
export function changeField(
  bytes: Uint8Array,
  numbers: readonly [number, number, number],
  change: (value: Uint8Array) => Uint8Array,
  depth = 0,
): Uint8Array {
  const fields = readFields(bytes);
  if (fields === undefined || fields.length === 0) return depth === 0 ? bytes : change(bytes);
  const [where, what, how] = numbers;
  const at = where % fields.length;
  const field = fields[at]!;
  const inside: [number, number, number] = [Math.floor(where / fields.length), what, how];
  if (field.tag % 8 === LENGTH_DELIMITED && depth < MAX_DEPTH && inside[0] % 3 !== 0) {
    const value = changeField(field.value, inside, change, depth + 1);
    return writeFields(fields.with(at, { ...field, value }));
  }
  switch (what % 7) {
    case 0:
      return writeFields(fields.toSpliced(at, 1));
    case 1:
      return writeFields(fields.toSpliced(at, 0, ...Array.from({ length: 1 + (how % 200) }, () => field)));
    case 2:
      return writeFields([...fields.toSpliced(at, 1), field]);
    case 3:
      return writeFields(fields.with(at, { ...field, tag: 8 * (1 + (how % 20)) + (field.tag % 8) }));
    case 4:
      if (field.tag % 8 !== VARINT)
        return writeFields(fields.with(at, { ...field, value: new Uint8Array(0) }));
      return writeFields(fields.with(at, { ...field, value: varint(EDGES[how % EDGES.length]!) }));
    case 5:
      return writeFields([
        ...fields,
        { tag: 8 * (1 + (how % 20)), value: varint(EDGES[what % EDGES.length]!) },
      ]);
    default:
      return field.tag % 8 === LENGTH_DELIMITED
        ? writeFields(fields.with(at, { ...field, value: change(field.value) }))
        : writeFields(fields.with(at, { ...field, value: varint(EDGES[how % EDGES.length]!) }));
  }
}
