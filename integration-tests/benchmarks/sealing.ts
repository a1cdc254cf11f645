import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { takeInSession, takeSealed } from '../../node/sessions/incoming.ts';
import type { IncomingSession } from '../../node/sessions/incoming.ts';
import { confirmed, seal, startSession } from '../../node/sessions/outgoing.ts';
import type { OutgoingSession } from '../../node/sessions/outgoing.ts';
import { makePrekey } from '../../node/sessions/prekeys.ts';
import { MAX_SESSION_BLOBS, readSealed } from '../../protocols/mailbox/sealed.ts';
import type { SealedBlob } from '../../protocols/mailbox/sealed.ts';
import type { Figure } from './figure.ts';

/** A short message with its frame around it. */
const BODY_BYTES = 200;

/** Blobs of one session that are measured: one is gone for its opening. */
const BLOBS = MAX_SESSION_BLOBS - 1;

/** About a second of each: less, and whatever else runs decides. */
const ROUNDS = 150;
const OPENINGS = 60;
const CIPHER = 'chacha20-poly1305';
const TAG = { authTagLength: 16 };

/** How many a second `run` does, when each call does `count`. */
async function perSecond(rounds: number, count: number, run: () => unknown): Promise<number> {
  const start = performance.now();
  for (let round = 0; round < rounds; round++) await run();
  return (rounds * count) / ((performance.now() - start) / 1000);
}

/** What sealing costs inside a session against the cipher alone, and what opening one costs. */
export async function sealingFigures(): Promise<Figure[]> {
  const [alice, bob] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')]);
  const recipient = bob.publicKey.toMultihash().bytes;
  const { prekey } = await makePrekey(bob, {
    kind: 'last-resort',
    expiresMs: Date.now() + 1e9,
    secretKey: randomBytes(32),
  });
  const open = (): Promise<OutgoingSession> =>
    startSession(alice, { recipient, prekey, nowMs: Date.now(), coins: randomBytes(64) });
  const body = randomBytes(BODY_BYTES);
  const header = randomBytes(32);

  const sealAll = (from: OutgoingSession): Uint8Array[] => {
    const blobs: Uint8Array[] = [];
    for (let session = from, left = BLOBS; left > 0; left--) {
      const sealed = seal(session, body, { nonce: randomBytes(12) });
      session = sealed.session;
      blobs.push(sealed.blob);
    }
    return blobs;
  };
  const first = seal(await open(), body, { nonce: randomBytes(12) });
  const outgoing = confirmed(first.session);
  const { session: incoming } = await takeSealed(readSealed(first.blob), {
    recipient,
    prekey,
    nowMs: Date.now(),
  });
  const blobs = sealAll(outgoing);
  const takeAll = (): void => {
    let session: IncomingSession = incoming;
    for (const blob of blobs) ({ session } = takeInSession(readSealed(blob), session, { nowMs: Date.now() }));
  };

  const key = randomBytes(32);
  const bareSeal = (): Uint8Array[] => {
    const sealed: Uint8Array[] = [];
    for (let left = BLOBS; left > 0; left--) {
      const cipher = createCipheriv(CIPHER, key, randomBytes(12), TAG);
      cipher.setAAD(header, { plaintextLength: BODY_BYTES });
      sealed.push(cipher.update(body));
      cipher.final();
      sealed.push(cipher.getAuthTag());
    }
    return sealed;
  };
  const nonce = randomBytes(12);
  const cipher = createCipheriv(CIPHER, key, nonce, TAG);
  cipher.setAAD(header, { plaintextLength: BODY_BYTES });
  const ciphertext = cipher.update(body);
  cipher.final();
  const tag = cipher.getAuthTag();
  const bareOpen = (): void => {
    for (let left = BLOBS; left > 0; left--) {
      const decipher = createDecipheriv(CIPHER, key, nonce, TAG);
      decipher.setAAD(header, { plaintextLength: BODY_BYTES });
      decipher.setAuthTag(tag);
      decipher.update(ciphertext);
      decipher.final();
    }
  };

  const openings: SealedBlob[] = [];
  for (let index = 0; index < OPENINGS; index++) {
    openings.push(readSealed(seal(await open(), body, { nonce: randomBytes(12) }).blob));
  }
  const takeOpenings = async (): Promise<void> => {
    for (const opening of openings) await takeSealed(opening, { recipient, prekey, nowMs: Date.now() });
  };
  const startAll = async (): Promise<void> => {
    for (let left = OPENINGS; left > 0; left--) await open();
  };

  return [
    {
      name: `blobs sealed/s in a session, ${BODY_BYTES} B each, padded to 1 KiB`,
      unit: '/s',
      higherIsBetter: true,
      ours: () => perSecond(ROUNDS, BLOBS, () => sealAll(outgoing)),
      floors: [
        {
          name: 'bare ChaCha20-Poly1305 of the same bodies',
          run: () => perSecond(ROUNDS, BLOBS, bareSeal),
          reach: 0.4,
        },
      ],
    },
    {
      name: `blobs opened/s in a session, ${BODY_BYTES} B each, padded to 1 KiB`,
      unit: '/s',
      higherIsBetter: true,
      ours: () => perSecond(ROUNDS, BLOBS, takeAll),
      floors: [
        {
          name: 'bare ChaCha20-Poly1305 of the same bodies',
          run: () => perSecond(ROUNDS, BLOBS, bareOpen),
          reach: 0.4,
        },
      ],
    },
    {
      name: 'sessions started/s by a sender',
      unit: '/s',
      higherIsBetter: true,
      ours: () => perSecond(1, OPENINGS, startAll),
      floors: [],
    },
    {
      name: 'sessions taken/s by a recipient',
      unit: '/s',
      higherIsBetter: true,
      ours: () => perSecond(1, OPENINGS, takeOpenings),
      floors: [],
    },
  ];
}
