import { writeFile } from 'node:fs/promises';
import { step } from './chain.ts';
import { confirmed, seal, startSession } from './outgoing.ts';
import { makePrekey } from './prekeys.ts';
import { bytesOf, coinsOf, nonceOf, person, secretKeyOf } from './sessions-fixture.ts';
import { PREKEY_BYTES } from '../../protocols/mailbox/prekey.ts';
import type { PrekeyErrorCode, PrekeyKind } from '../../protocols/mailbox/prekey.ts';
import { openingText } from '../../protocols/mailbox/sealed.ts';
import type { SealedErrorCode } from '../../protocols/mailbox/sealed.ts';

/*
 * npm run vectors
 *
 * Writes what another implementation of sealed blobs can check itself against: protocols/mailbox/vectors/*.json, which the
 * README there describes. A test holds the files to what is made here.
 */

export const VECTORS = new URL('../../protocols/mailbox/vectors/', import.meta.url);

const NOW_MS = Date.UTC(2026, 10, 20);
const EXPIRES_MS = Date.UTC(2027, 1, 18);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export interface PrekeyVectors {
  nowMs: number;
  prekeys: {
    /** The Ed25519 secret key of the owner. */
    ownerSeed: string;
    owner: string;
    kind: PrekeyKind;
    expiresMs: number;
    secretKey: string;
    publicKey: string;
    id: string;
    bundle: string;
  }[];
  /** Bytes that are no prekeys of the first one's owner. */
  refused: { why: string; code: PrekeyErrorCode; bundle: string }[];
}

export interface SealedVectors {
  senderSeed: string;
  sender: string;
  recipientSeed: string;
  recipient: string;
  prekey: { secretKey: string; publicKey: string; id: string };
  /** Randomness of the encapsulation: ML-KEM's, then X25519's. */
  coins: string;
  kemCiphertext: string;
  sessionId: string;
  openingText: string;
  signature: string;
  firstChainKey: string;
  /** Each gives the keys of the next 8 blobs. */
  steps: { messageKeys: string[]; nextChainKey: string }[];
  blobs: { counter: number; opening: boolean; nonce: string; content: string; blob: string }[];
  /** Blobs that do not open; `of` is one of `blobs`, with bytes at an offset replaced. */
  refused: {
    why: string;
    code: SealedErrorCode;
    /** What the recipient has: all that `blobs` leave it with, or what it had before them. */
    after: 'all' | 'nothing';
    of?: number;
    at?: number;
    bytes?: string;
    blob?: string;
  }[];
}

const alice = await person('alice');
const bob = await person('bob');
const eve = await person('eve');

export async function prekeyVectors(): Promise<PrekeyVectors> {
  const kinds: PrekeyKind[] = ['one-time', 'last-resort'];
  const made = await Promise.all(
    kinds.map((kind) =>
      makePrekey(bob.identity, { kind, expiresMs: EXPIRES_MS, secretKey: secretKeyOf(kind) }),
    ),
  );
  const evesOwn = await makePrekey(eve.identity, {
    kind: 'one-time',
    expiresMs: EXPIRES_MS,
    secretKey: secretKeyOf('eve'),
  });
  const past = await makePrekey(bob.identity, {
    kind: 'one-time',
    expiresMs: NOW_MS,
    secretKey: secretKeyOf('past'),
  });
  const { bundle } = made[0]!;
  return {
    nowMs: NOW_MS,
    prekeys: made.map(({ prekey, bundle }) => ({
      ownerSeed: hex(bytesOf('identity bob', 32)),
      owner: hex(bob.peer),
      kind: prekey.kind,
      expiresMs: prekey.expiresMs,
      secretKey: hex(prekey.secretKey),
      publicKey: hex(prekey.publicKey),
      id: hex(prekey.id),
      bundle: hex(bundle),
    })),
    refused: [
      { why: 'signed by somebody else', code: 'bad-signature', bundle: hex(evesOwn.bundle) },
      {
        why: 'its public key was changed',
        code: 'bad-signature',
        bundle: hex(bundle.with(10, bundle[10]! ^ 1)),
      },
      { why: 'it expires at nowMs', code: 'expired', bundle: hex(past.bundle) },
      { why: 'a byte is missing', code: 'malformed', bundle: hex(bundle.subarray(0, PREKEY_BYTES - 1)) },
      { why: 'of version 2', code: 'malformed', bundle: hex(bundle.with(0, 2)) },
      { why: 'of kind 3', code: 'malformed', bundle: hex(bundle.with(1, 3)) },
    ],
  };
}

export async function sealedVectors(): Promise<SealedVectors> {
  const { prekey } = await makePrekey(bob.identity, {
    kind: 'one-time',
    expiresMs: EXPIRES_MS,
    secretKey: secretKeyOf('one-time'),
  });
  const coins = coinsOf('session');
  const started = await startSession(alice.identity, { recipient: bob.peer, prekey, nowMs: NOW_MS, coins });
  const { opening } = started;
  if (opening === undefined) throw new Error('a session starts with an opening');

  const steps: SealedVectors['steps'] = [];
  for (let chainKey = started.chain.chainKey; steps.length < 3;) {
    const { messageKeys, nextChainKey } = step(chainKey);
    steps.push({ messageKeys: messageKeys.map(hex), nextChainKey: hex(nextChainKey) });
    chainKey = nextChainKey;
  }

  const blobs: SealedVectors['blobs'] = [];
  let session = started;
  for (const [counter, content] of [
    Buffer.from('hello'),
    Buffer.alloc(0),
    Buffer.from('hello again'),
    bytesOf('content that fills 1 KiB', 972),
    bytesOf('one byte more', 973),
  ].entries()) {
    // After two, the recipient has confirmed the session.
    if (counter === 2) session = confirmed(session);
    const nonce = nonceOf(`${counter}`);
    const sealed = seal(session, content, { nonce });
    const isOpening = session.opening !== undefined;
    blobs.push({
      counter,
      opening: isOpening,
      nonce: hex(nonce),
      content: hex(content),
      blob: hex(sealed.blob),
    });
    ({ session } = sealed);
  }

  const impostor = seal({ ...started, opening: { ...opening, sender: eve.peer } }, Buffer.from('hello'), {
    nonce: nonceOf('impostor'),
  });
  return {
    senderSeed: hex(bytesOf('identity alice', 32)),
    sender: hex(alice.peer),
    recipientSeed: hex(bytesOf('identity bob', 32)),
    recipient: hex(bob.peer),
    prekey: { secretKey: hex(prekey.secretKey), publicKey: hex(prekey.publicKey), id: hex(prekey.id) },
    coins: hex(coins),
    kemCiphertext: hex(opening.kemCiphertext),
    sessionId: hex(started.id),
    openingText: hex(
      openingText({
        sender: alice.peer,
        recipient: bob.peer,
        prekeyPublicKey: prekey.publicKey,
        sessionId: started.id,
        header: opening,
      }),
    ),
    signature: hex(opening.signature),
    firstChainKey: hex(started.chain.chainKey),
    steps,
    blobs,
    refused: [
      { why: 'opened before', code: 'used-key', after: 'all', of: 0 },
      { why: 'opened before', code: 'used-key', after: 'all', of: 2 },
      { why: 'no opening, and no session', code: 'unknown-session', after: 'nothing', of: 2 },
      { why: 'the tag was changed', code: 'forged', after: 'nothing', of: 0, at: 4095, bytes: '00' },
      { why: 'its number was changed', code: 'forged', after: 'nothing', of: 0, at: 19, bytes: '01' },
      { why: 'the nonce was changed', code: 'forged', after: 'nothing', of: 0, at: 20, bytes: '00' },
      { why: 'of version 2', code: 'malformed', after: 'nothing', of: 0, at: 0, bytes: '02' },
      { why: 'of kind 2', code: 'malformed', after: 'nothing', of: 0, at: 1, bytes: '02' },
      { why: 'number 512', code: 'malformed', after: 'all', of: 2, at: 18, bytes: '0200' },
      { why: 'not the id of its session', code: 'malformed', after: 'nothing', of: 0, at: 2, bytes: '00' },
      {
        why: 'a size that is no class',
        code: 'malformed',
        after: 'nothing',
        blob: blobs[2]!.blob.slice(0, -2),
      },
      {
        why: "another's name over the sender's signature",
        code: 'bad-signature',
        after: 'nothing',
        blob: hex(impostor.blob),
      },
    ],
  };
}

if (import.meta.main) {
  const files = { 'prekey.json': await prekeyVectors(), 'sealed.json': await sealedVectors() };
  for (const [name, vectors] of Object.entries(files)) {
    await writeFile(new URL(name, VECTORS), `${JSON.stringify(vectors, null, 2)}\n`);
  }
}
