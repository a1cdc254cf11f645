import { decodeIncoming, encodeIncoming } from '../../../node/sessions/incoming.ts';
import { confirmed, decodeOutgoing, encodeOutgoing } from '../../../node/sessions/outgoing.ts';
import { MAX_SESSION_BLOBS } from '../../../protocols/mailbox/sealed.ts';
import { session, started } from '../fuzz/fuzz-sessions.ts';
import type { Subject } from '../subject.ts';

const NO_SECRET = new Uint8Array(32);

const { chain } = session;
const [key] = chain.keys;

export const subject: Subject = {
  name: 'sessions',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'outgoing session',
      decode: decodeOutgoing,
      encode: encodeOutgoing,
      refusals: ['SessionStateError'],
      samples: () => [encodeOutgoing(started), encodeOutgoing(confirmed(started))],
      forged: () => [
        encodeOutgoing({ ...started, counter: MAX_SESSION_BLOBS + 1 }),
        encodeOutgoing({ ...started, chain: { ...started.chain, chainKey: NO_SECRET } }),
      ],
    },
    {
      name: 'incoming session',
      decode: decodeIncoming,
      encode: encodeIncoming,
      refusals: ['SessionStateError'],
      samples: () => [
        encodeIncoming(session),
        encodeIncoming({ ...session, chain: { ...session.chain, keys: [] } }),
      ],
      forged: () =>
        [
          { ...chain, chainKey: NO_SECRET },
          { ...chain, next: 0xfff8 },
          { ...chain, next: chain.next + 1 },
          { ...chain, keys: [key!, key!] },
          { ...chain, keys: [{ ...key!, counter: chain.next }] },
          { ...chain, keys: [{ ...key!, key: NO_SECRET }] },
        ].map((forged) => encodeIncoming({ ...session, chain: forged })),
    },
  ],
};
