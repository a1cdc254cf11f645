import { isDeepStrictEqual } from 'node:util';
import { formatInvite, parseInvite } from '../../../node/invite.ts';
import type { Invite } from '../../../node/invite.ts';
import { parsePeerId } from '../../../node/peer-ids.ts';
import { ada, ADDRESSES, ben } from '../fuzz/fuzz-papers.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Subject } from '../subject.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

const invite: Invite = {
  peerId: ada.publicKey.toString(),
  name: 'ada',
  multiaddrs: ADDRESSES,
  token: 'AAAAAAAAAAAAAAAAAAAAAA',
};

/**
 * Reads an invite, and again as it would be handed on: that may leave out addresses, the last ones first, which take more
 * room once they are escaped.
 */
function readTwice(text: string): Invite {
  const given = parseInvite(text);
  const kept = parseInvite(formatInvite(given));
  const multiaddrs = given.multiaddrs.slice(0, kept.multiaddrs.length);
  if (!isDeepStrictEqual(kept, { ...given, multiaddrs }))
    throw new TypeError('the invite says something else when it is handed on');
  return kept;
}

const bare = `tincan:${invite.peerId}`;

/** Each is wrong in one thing only. */
const forged = [
  'tincan:',
  bare.slice(0, -1),
  `${bare}?n=ada&n=ben`,
  `${bare}?n=a da`,
  `${bare}?t=AAAA&t=BBBB`,
  `${bare}?t=`,
  `${bare}?t=${'A'.repeat(65)}`,
  `${bare}?t=AA*AA`,
  `${bare}?a=`,
  `${bare}?a=${ADDRESSES[0]}/p2p/${ben.publicKey.toString()}`,
  `${bare}?${`a=${ADDRESSES[0]}&`.repeat(7)}`,
  `${bare}?later=%`,
  `${bare}?later=${'x'.repeat(2000)}`,
];

export const subject: Subject = {
  name: 'invite',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'invite in text',
      decode: (input) => readTwice(textFrom(input)),
      encode: (value: Invite) => bytes(formatInvite(value)),
      refusals: ['SyntaxError'],
      samples: () =>
        [
          formatInvite(invite),
          formatInvite({ ...invite, name: null, token: null, multiaddrs: [] }),
          formatInvite({ ...invite, name: 'łukasz', multiaddrs: ADDRESSES.slice(0, 1) }),
          `${formatInvite({ ...invite, multiaddrs: [] })}&later=1`,
        ].map(bytes),
      forged: () => forged.map(bytes),
    },
    {
      name: 'peer id in text',
      decode: (input) => parsePeerId(textFrom(input))?.toString() ?? 'none',
      refusals: [],
      samples: () => [bytes(invite.peerId), bytes('QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N')],
    },
  ],
};
