import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { AeadId, CipherSuite, DhkemX25519HkdfSha256, ExportOnly, HkdfSha256 } from '@hpke/core';
import type { AeadInterface } from '@hpke/core';
import { XWing } from '@hpke/hybridkem-x-wing';
import { decapsulate, encapsulate } from './hpke.ts';
import { NativeXWing, xWingPublicKey } from './x-wing.ts';

const bytes = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (data: ArrayBuffer): string => Buffer.from(data).toString('hex');
const sha256 = (data: ArrayBuffer): string => hash('sha256', new Uint8Array(data));

/** draft-connolly-cfrg-xwing-kem-10, appendix C. Public keys and ciphertexts as their SHA-256. */
const X_WING = [
  {
    seed: '7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26',
    eseed:
      '3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2' +
      '35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2',
    ss: 'd2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384',
    pk: '2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb',
    ct: '17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33',
  },
  {
    seed: 'badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea',
    eseed:
      '17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef' +
      'aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d',
    ss: 'f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150',
    pk: 'c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916',
    ct: '1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154',
  },
  {
    seed: 'ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9',
    eseed:
      '22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619' +
      'f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b',
    ss: '953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f',
    pk: '6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95',
    ct: 'd3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6',
  },
];

test("X-Wing is the draft's", async () => {
  const kem = new NativeXWing();
  const library = new XWing();
  for (const { seed, eseed, ss, pk, ct } of X_WING) {
    const { publicKey, privateKey } = await kem.generateKeyPairDerand(bytes(seed));
    assert.equal(sha256(await kem.serializePublicKey(publicKey)), pk);
    assert.equal(hash('sha256', xWingPublicKey(bytes(seed))), pk);
    const { enc, sharedSecret } = await kem.encap({ recipientPublicKey: publicKey, ekm: bytes(eseed) });
    assert.equal(sha256(enc), ct);
    assert.equal(hex(sharedSecret), ss);
    assert.equal(hex(await kem.decap({ recipientKey: privateKey, enc })), ss);
    assert.equal(hex(await library.decap({ recipientKey: privateKey, enc })), ss);
  }
});

test("HPKE's key schedule and export are the RFC's", async () => {
  // RFC 9180, appendix A.7.1: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export only.
  const kem = new DhkemX25519HkdfSha256();
  const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new ExportOnly() });
  const enc = bytes('e5e8f9bfff6c2f29791fc351d2c25ce1299aa5eaca78a757c0b4fb4bcd830918');
  const recipient = await suite.createRecipientContext({
    recipientKey: await kem.deserializePrivateKey(
      bytes('33d196c830a12f9ac65d6e565a590d80f04ee9b19c83c87f2c170d972a812848'),
    ),
    enc,
    info: bytes('4f6465206f6e2061204772656369616e2055726e'),
  });
  for (const [context, exported] of [
    ['', '7a36221bd56d50fb51ee65edfd98d06a23c4dc87085aa5866cb7087244bd2a36'],
    ['00', 'd5535b87099c6c3ce80dc112a2671c6ec8e811a2f284f948cec6dd1708ee33f0'],
    ['54657374436f6e74657874', 'ffaabc85a776136ca0c378e5d084c9140ab552b78f039d2e8775f26efff4c70e'],
  ] as const) {
    assert.equal(hex(await recipient.export(bytes(context), 32)), exported);
  }
});

test("HPKE with X-Wing is the working group's", async () => {
  // draft-ietf-hpke-pq, test vector of X-Wing with HKDF-SHA256 and ChaCha20-Poly1305, whose id goes into the key schedule.
  const aead: AeadInterface = {
    id: AeadId.Chacha20Poly1305,
    keySize: 32,
    nonceSize: 12,
    tagSize: 16,
    createEncryptionContext: () => ({
      seal: () => Promise.reject(new Error('not used')),
      open: () => Promise.reject(new Error('not used')),
    }),
  };
  const kem = new XWing();
  const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead });
  const { publicKey } = await kem.generateKeyPairDerand(
    bytes('3ec47fa82dd5689d27c6190e724c74ec8f608df3331ce331929e37b829676630'),
  );
  const sender = await suite.createSenderContext({
    recipientPublicKey: publicKey,
    ekm: bytes(
      '2a1c0a3745fe8a48fb62034d300f54dfe1974a5b2e169e580a8789cb1cf5fd19' +
        '0fc00f3fd899594e01a8b15334b9f3fa03d8de44da86e19f5776850fb689e6c8',
    ),
    info: bytes('34663634363532303666366532303631323034373732363536333639363136653230353537323665'),
  });
  assert.equal(
    hex(await sender.export(bytes('70736575646f72616e646f6d30'), 32)),
    '5a78d37f40e078c17ef43fa40963f1ff7dcdee56e366da9099dc181c3eccaee5',
  );
});

const secretKey = new Uint8Array(32).fill(1);
const publicKey = xWingPublicKey(secretKey);
const info = Buffer.from('for this test');
const coins = new Uint8Array(64).fill(2);

test('both ends find the same secret, and only with the same info and key', async () => {
  const { kemCiphertext, chainKey } = await encapsulate({ publicKey, info, coins });
  const found = (change: Partial<Parameters<typeof decapsulate>[0]>) =>
    decapsulate({ secretKey, kemCiphertext, info, ...change });
  assert.deepEqual(await found({}), chainKey);
  assert.notDeepEqual(await found({ info: Buffer.from('another') }), chainKey);
  assert.notDeepEqual(await found({ secretKey: new Uint8Array(32).fill(3) }), chainKey);
  const changed = kemCiphertext.slice();
  changed[0]! ^= 1;
  assert.notDeepEqual(await found({ kemCiphertext: changed }), chainKey);
});

test('what was handed in is not overwritten, and may be a view of something larger', async () => {
  const around = Buffer.alloc(200);
  around.set(secretKey, 7);
  around.set(coins, 100);
  const { kemCiphertext, chainKey } = await encapsulate({
    publicKey,
    info,
    coins: around.subarray(100, 164),
  });
  assert.deepEqual(xWingPublicKey(around.subarray(7, 39)), publicKey);
  assert.deepEqual(await decapsulate({ secretKey: around.subarray(7, 39), kemCiphertext, info }), chainKey);
  assert.deepEqual(Uint8Array.from(around.subarray(7, 39)), secretKey);
  assert.deepEqual(Uint8Array.from(around.subarray(100, 164)), coins);
});

/** Points of order 1, 2, 4 and 8 (RFC 7748, section 7, and https://cr.yp.to/ecdh.html#validate), and one written otherwise. */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

test('points of small order are refused at both ends', async () => {
  const { kemCiphertext } = await encapsulate({ publicKey, info, coins });
  for (const point of SMALL_ORDER) {
    const badKey = publicKey.slice();
    badKey.set(bytes(point), 1184);
    await assert.rejects(encapsulate({ publicKey: badKey, info, coins }));
    const badCiphertext = kemCiphertext.slice();
    badCiphertext.set(bytes(point), 1088);
    await assert.rejects(decapsulate({ secretKey, kemCiphertext: badCiphertext, info }));
  }
});

test('a key whose ML-KEM half is none, or of another length, is refused', async () => {
  // Coefficients over the modulus (FIPS 203, section 7.2).
  const overflown = publicKey.slice().fill(0xff, 0, 1152);
  await assert.rejects(encapsulate({ publicKey: overflown, info, coins }));
  for (const length of [0, 32, 1215, 1217]) {
    await assert.rejects(encapsulate({ publicKey: new Uint8Array(length), info, coins }));
  }
  for (const length of [0, 1119, 1121]) {
    await assert.rejects(decapsulate({ secretKey, kemCiphertext: new Uint8Array(length), info }));
  }
});
