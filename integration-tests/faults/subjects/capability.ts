import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { CAPABILITY_BYTES, openCapability, signCapability } from '../../../protocols/mailbox/capability.ts';
import type { CapabilityTimes } from '../../../protocols/mailbox/capability.ts';
import { ada, ben, NOW_MS, phonebook } from '../fuzz/fuzz-papers.ts';
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

const at = (place: number, by: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(samples[0]);
  copy.set(by, place);
  return copy;
};
const time = (ms: bigint): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(ms);
  return bytes;
};

/** Where the parts of a capability are. */
const DEPOSITOR_AT = 1;
const ISSUED_AT = 39;
const EXPIRES_AT = 47;
const SIGNATURE_AT = CAPABILITY_BYTES - 64;

/** What is wrong whoever signed it. */
const misstated = [
  at(0, Uint8Array.of(0)),
  at(0, Uint8Array.of(2)),
  at(DEPOSITOR_AT, recipient.toMultihash().bytes),
  at(DEPOSITOR_AT, new Uint8Array(38)),
  at(ISSUED_AT, time(0n)),
  at(ISSUED_AT, time(BigInt(NOW_MS + 401 * DAY_MS))),
  at(ISSUED_AT, new Uint8Array(16).fill(0xff)),
  at(EXPIRES_AT, time(BigInt(NOW_MS))),
  at(EXPIRES_AT, time(2n ** 53n)),
  at(EXPIRES_AT, time(2n ** 64n - 1n)),
];

/** Signed by others, by the depositor too, or by Ben for something else. */
const misattributed = [
  await signCapability(ada, whole),
  await signCapability(phonebook, whole),
  at(SIGNATURE_AT, new Uint8Array(64)),
  at(SIGNATURE_AT, await ben.sign(samples[0].subarray(0, SIGNATURE_AT))),
  at(SIGNATURE_AT, samples[1].subarray(SIGNATURE_AT)),
];

const open = (bytes: Uint8Array) => openCapability(bytes, { recipient, depositor, nowMs: NOW_MS });
const encode = (times: CapabilityTimes) => signCapability(ben, { depositor, ...times });

export const subject: Subject = {
  name: 'capabilities',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'capability',
      decode: open,
      encode,
      refusals: ['CapabilityError'],
      samples: () => samples,
      forged: () => [...misstated, ...misattributed],
    },
    {
      name: 'capability, signed anew',
      decode: async (bytes) => open(await signedAnew(bytes)),
      encode,
      refusals: ['CapabilityError'],
      samples: () => samples,
      forged: () => misstated,
    },
  ],
};
