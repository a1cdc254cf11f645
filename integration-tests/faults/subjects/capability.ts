import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { CAPABILITY_BYTES, openCapability, signCapability } from '../../../protocols/mailbox/capability.ts';
import type { CapabilityTimes } from '../../../protocols/mailbox/capability.ts';
import { ada, ben, NOW_MS } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const DAY_MS = 24 * 3600_000;
const CONTEXT = Buffer.from('tincan-mailbox-capability-v1:');

const depositor = peerIdFromPrivateKey(ada);
const recipient = peerIdFromPrivateKey(ben);

/** Ben's for Ada. */
const whole = { depositor, issuedMs: NOW_MS - DAY_MS, expiresMs: NOW_MS + 400 * DAY_MS };
const samples = await Promise.all([
  signCapability(ben, whole),
  signCapability(ben, { ...whole, issuedMs: NOW_MS + 1, expiresMs: NOW_MS + 1 }),
]);

/** The same capability with a signature of Ben's over what it says now. */
async function signedAnew(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength !== CAPABILITY_BYTES) return bytes;
  const signed = bytes.subarray(0, CAPABILITY_BYTES - 64);
  const text = Buffer.concat([CONTEXT, recipient.toMultihash().bytes, signed]);
  return Buffer.concat([signed, await ben.sign(text)]);
}

const open = (bytes: Uint8Array) => openCapability(bytes, { recipient, depositor, nowMs: NOW_MS });
const encode = (times: CapabilityTimes) => signCapability(ben, { depositor, ...times });

export const subject: Subject = {
  name: 'capability',
  decoders: [
    { name: 'capability', decode: open, encode, refusals: ['CapabilityError'], samples: () => samples },
    {
      name: 'capability, signed anew',
      decode: async (bytes) => open(await signedAnew(bytes)),
      encode,
      refusals: ['CapabilityError'],
      samples: () => samples,
    },
  ],
};
