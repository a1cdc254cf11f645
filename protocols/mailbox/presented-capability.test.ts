import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromMultihash, peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { peerIdToBytes } from './peer-id-bytes.ts';
import { presentedCapability, presenter } from './presented-capability.ts';
import { MAX_CAPABILITY_BYTES } from './protocol.ts';
import type { Deposit } from './protocol.ts';

const peer = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
const peers = await Promise.all([peer(), peer(), peer()]);
const NONE = new Uint8Array(0);
const [bob, carol] = peers;

const deposit = (recipient: PeerId, capability: Uint8Array = NONE): Deposit => ({
  seq: 0,
  recipient: peerIdToBytes(recipient),
  blobId: NONE,
  expiresMs: 1,
  blob: NONE,
  capability,
});

/** A mailbox's side that is given one deposit at a time. */
function oneByOne(): (deposit: Deposit) => Deposit {
  const fillIn = presentedCapability();
  return (deposit) => {
    fillIn([deposit]);
    return deposit;
  };
}

void test('a mailbox learns what a depositor presents, whatever comes in which order', () => {
  const step = fc.record({ to: fc.nat({ max: 2 }), capability: fc.nat({ max: 2 }) });
  const batches = fc.array(fc.array(step, { maxLength: 5 }), { maxLength: 10 });
  fc.assert(
    fc.property(batches, (batches) => {
      const capabilityToSend = presenter();
      const fillIn = presentedCapability();
      let before = '';
      for (const batch of batches) {
        const capabilities = batch.map(({ capability }) => new Uint8Array(10).fill(capability + 1));
        const deposits = batch.map(({ to, capability: number }, i) => {
          const recipient = peers[to]!;
          const sent = capabilityToSend({ recipient, capability: capabilities[i]! });
          assert.equal(sent === undefined, before === `${to} ${number}`, 'sent when it changes only');
          before = `${to} ${number}`;
          return deposit(recipient, sent);
        });
        fillIn(deposits);
        assert.deepEqual(
          deposits.map(({ capability }) => capability),
          capabilities,
        );
      }
    }),
  );
});

void test('who presents nothing sends nothing, and the next one presents anew', () => {
  const capabilityToSend = presenter();
  const capability = Uint8Array.of(1);
  assert.equal(capabilityToSend({ recipient: bob }), undefined);
  assert.equal(capabilityToSend({ recipient: bob, capability }), capability);
  assert.equal(capabilityToSend({ recipient: bob }), undefined);
  assert.equal(capabilityToSend({ recipient: bob, capability }), capability);
  // The same peer and the same bytes, in other objects.
  const again = peerIdFromMultihash(bob.toMultihash());
  assert.equal(capabilityToSend({ recipient: again, capability: Uint8Array.of(1) }), undefined);
});

void test('what is presented for one recipient does not count for another, nor again after one', () => {
  const withCapability = oneByOne();
  assert.deepEqual(withCapability(deposit(bob)).capability, NONE);
  assert.deepEqual(withCapability(deposit(bob, Uint8Array.of(1))).capability, Uint8Array.of(1));
  assert.deepEqual(withCapability(deposit(bob)).capability, Uint8Array.of(1));
  assert.deepEqual(withCapability(deposit(carol)).capability, NONE);
  assert.deepEqual(withCapability(deposit(bob)).capability, NONE);
});

void test('what is remembered is a copy, and short', () => {
  const withCapability = oneByOne();
  const chunk = Buffer.alloc(100_000, 1);
  withCapability(deposit(bob, chunk.subarray(0, MAX_CAPABILITY_BYTES)));
  const { capability } = withCapability(deposit(bob));
  assert.equal(capability.buffer.byteLength, MAX_CAPABILITY_BYTES);
  withCapability(deposit(bob, chunk.subarray(0, MAX_CAPABILITY_BYTES + 1)));
  assert.deepEqual(withCapability(deposit(bob)).capability, NONE);
});
