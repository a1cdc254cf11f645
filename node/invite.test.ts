import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import fc from 'fast-check';
import { formatInvite, isInvite, newInviteToken, parseInvite } from './invite.ts';

const id = async (type: 'Ed25519' | 'secp256k1' = 'Ed25519'): Promise<string> =>
  (await generateKeyPair(type)).publicKey.toString();
const self = await id();
const other = await id();
const HOME = '/ip4/192.0.2.1/tcp/4001';

const names = fc.constantFrom(null, 'bob', 'ada.l', 'иван', '太郎', 'müller');
const addresses = fc.array(
  fc.oneof(
    fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 65_535 })).map(([ip, port]) => `/ip4/${ip}/tcp/${port}`),
    fc.domain().map((domain) => `/dns4/${domain}/tcp/443`),
    fc.constant(`${HOME}/p2p/${other}/p2p-circuit`),
  ),
  { maxLength: 9 },
);
const tokens: fc.Arbitrary<string | null> = fc.constantFrom(null, newInviteToken(), 'a-_0');

void test('what is put into an invite comes out of it', () => {
  fc.assert(
    fc.property(names, addresses, tokens, (name, multiaddrs, token) => {
      const text = formatInvite({ peerId: self, name, multiaddrs, token });
      assert.ok(isInvite(text));
      assert.ok(text.length <= 2000);
      const read = parseInvite(text);
      assert.deepEqual({ ...read, multiaddrs: [] }, { peerId: self, name, multiaddrs: [], token });
      assert.deepEqual(read.multiaddrs, multiaddrs.slice(0, read.multiaddrs.length));
      assert.equal(read.multiaddrs.length, Math.min(6, multiaddrs.length));
    }),
  );
});

void test('an invite stays short enough to be read, however long the addresses are', () => {
  const long = `/dns4/${'x'.repeat(240)}.example/tcp/4001/p2p/${other}/p2p-circuit`;
  const text = formatInvite({ peerId: self, name: 'bob', multiaddrs: Array(6).fill(long), token: 'abc' });
  const { multiaddrs, token } = parseInvite(text);
  assert.ok(multiaddrs.length > 0 && multiaddrs.length < 6);
  assert.equal(token, 'abc');
});

void test('any text is an invite or a SyntaxError', () => {
  const parts = fc.constantFrom(
    '?',
    '&',
    'n=',
    'a=',
    't=',
    '%',
    '%zz',
    '%2F',
    self,
    HOME,
    'bob',
    '\0',
    '=',
    ' ',
  );
  const texts = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(parts, fc.string())).map((all) => all.join('')),
  );
  fc.assert(
    fc.property(texts, fc.boolean(), (rest, whole) => {
      try {
        const invite = parseInvite(`tincan:${whole ? `${self}?` : ''}${rest}`);
        assert.equal(parseInvite(formatInvite(invite)).peerId, invite.peerId);
      } catch (error) {
        assert.equal((error as Error).name, 'SyntaxError', String(error));
      }
    }),
  );
});

void test('an invite survives how people paste it', () => {
  assert.equal(parseInvite(` TinCan:${self}?n=bob&x=later&a=${HOME}\n`).name, 'bob');
  assert.deepEqual(parseInvite(`tincan:${self}?a=${HOME}/p2p/${self}`).multiaddrs, [HOME]);
  assert.ok(!isInvite('tincans'));
});

void test('each damaged invite says what is wrong with it', async () => {
  for (const [rest, message] of [
    ['', /no valid peer id/],
    ['bob', /no valid peer id/],
    [await id('secp256k1'), /no valid peer id/],
    [self.slice(0, -1), /no valid peer id/],
    [`${self}?n=%zz`, /"%"/],
    [`${self}?n=%ff`, /"%"/],
    [`${self}?n=a&n=b`, /more than once/],
    [`${self}?t=a&t=b`, /more than once/],
    [`${self}?n=a%20b`, /name that can be none/],
    [`${self}?n=`, /name that can be none/],
    [`${self}?n=b?b`, /name that can be none/],
    [`${self}?a=`, /does not lead/],
    [`${self}?a=/ip4/1.2.3/tcp/1`, /does not lead/],
    [`${self}?a=${HOME}/p2p/${other}`, /does not lead/],
    [`${self}?a=/p2p/${self}`, /does not lead/],
    [`${self}?a=/dns4/a%1Bb/tcp/1`, /does not lead/],
    [`${self}?${`a=${HOME}&`.repeat(7)}`, /at most 6/],
    [`${self}?t=`, /damaged token/],
    [`${self}?t=a+b`, /damaged token/],
    [`${self}?t=${'a'.repeat(65)}`, /damaged token/],
    [`${self}?x=${'a'.repeat(2000)}`, /at most 2000/],
  ] as const) {
    assert.throws(() => parseInvite(`tincan:${rest}`), { name: 'SyntaxError', message }, rest);
  }
});
