import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { encodeBundle } from '../../../protocols/chat/protocol.ts';
import { EnvelopeSchema } from '../../../protocols/mailbox/envelope_pb.ts';
import { encodeUnsealed, openEnvelope } from '../../../protocols/mailbox/envelope.ts';
import type { OpenedEnvelope } from '../../../protocols/mailbox/envelope.ts';
import { peerIdFromBytes, peerIdToBytes } from '../../../protocols/mailbox/peer-id-bytes.ts';
import { ada, ben, NOW_MS } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const CONTEXT = Buffer.from('tincan-mailbox-unsealed-v1:');

const recipient = peerIdFromPrivateKey(ben);

const sealed = (bundle: Uint8Array, nowMs = NOW_MS): Promise<Uint8Array> =>
  encodeUnsealed(ada, { recipient, bundle, nowMs });

const samples = await Promise.all([
  sealed(encodeBundle([Uint8Array.of(1, 2, 3)])),
  sealed(new Uint8Array(0), 0),
  sealed(new Uint8Array(300).fill(7), Number.MAX_SAFE_INTEGER),
]);

/** The same envelope with a signature of Ada's over what it says now. What is none stays as it is. */
async function signedAnew(bytes: Uint8Array): Promise<Uint8Array> {
  let envelope;
  try {
    envelope = fromBinary(EnvelopeSchema, bytes);
  } catch {
    return bytes;
  }
  if (envelope.body.case !== 'unsealed' || envelope.body.value.recipient.byteLength > 0xff) return bytes;
  const { value } = envelope.body;
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(value.sentAtMs);
  const signature = await ada.sign(
    Buffer.concat([CONTEXT, Uint8Array.of(value.recipient.byteLength), value.recipient, time, value.bundle]),
  );
  return toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, { body: { case: 'unsealed', value: { ...value, signature } } }),
  );
}

const shown = ({ sender, ...envelope }: OpenedEnvelope) => ({ ...envelope, sender: sender.toString() });

export const subject: Subject = {
  name: 'envelope',
  decoders: [
    {
      name: 'mailbox envelope',
      decode: async (bytes) => shown(await openEnvelope(bytes, { recipient })),
      refusals: ['EnvelopeError'],
      samples: () => samples,
    },
    {
      name: 'mailbox envelope, signed anew',
      decode: async (bytes) => shown(await openEnvelope(await signedAnew(bytes), { recipient })),
      encode: ({ bundle, sentAtMs }: ReturnType<typeof shown>) => sealed(bundle, sentAtMs),
      refusals: ['EnvelopeError'],
      samples: () => samples,
    },
    {
      name: 'peer id in bytes',
      decode: (bytes) => peerIdFromBytes(bytes)?.toString() ?? 'none',
      refusals: [],
      samples: () => [peerIdToBytes(recipient)],
    },
  ],
};
