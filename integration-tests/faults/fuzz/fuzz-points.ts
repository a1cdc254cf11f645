const point = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/**
 * Points of Curve25519 with which every secret key comes to the same shared secret, zero: those of order 1, 2, 4 and 8, and
 * other ways to write them (https://cr.yp.to/ecdh.html, "contributory behaviour"). The last byte of each may have its
 * highest bit set, too, which RFC 7748 has readers ignore.
 */
export const SMALL_ORDER_POINTS: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].flatMap((hex) => {
  const plain = point(hex);
  return [plain, plain.with(31, plain[31]! | 0x80)];
});
