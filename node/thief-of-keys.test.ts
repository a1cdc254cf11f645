import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { readSealed } from '../protocols/mailbox/sealed.ts';
import { peerIdOf } from './peer-ids.ts';
import { eventually, openPost } from './sealed-mail-fixture.ts';
import type { MailNode } from './sealed-mail-fixture.ts';
import { decrypt, step } from './sessions/chain.ts';
import { decodeIncoming, takeSealed } from './sessions/incoming.ts';
import { decodeOwnPrekey } from './sessions/prekeys.ts';

/*
 * Somebody takes all keys that a daemon has on disk, opened, and has kept every blob that ever lay in its mailbox. Its
 * history, which is on the same disk, is looked away from: what do the keys open by themselves?
 */

const DAY_MS = 24 * 3600_000;
const KEY_BYTES = 32;

/** The texts that whoever has a store's keys reads in blobs, by what the store holds now. */
async function stolen({ store, peerId }: MailNode, blobs: readonly Uint8Array[]): Promise<string[]> {
  const texts: string[] = [];
  for (const blob of blobs) {
    const sealed = readSealed(blob);
    const [state] = store.operations['sessions.incoming']({ ids: [sealed.sessionId] });
    const own = sealed.opening && store.operations['prekeys.own']({ ids: [sealed.opening.prekeyId] })[0];
    const prekey = own && decodeOwnPrekey(own);
    const known = { recipient: peerIdToBytes(peerIdOf(peerId)), nowMs: 0, prekey };
    const session = state && decodeIncoming(state);
    const opened = await Promise.allSettled([
      takeSealed(sealed, { ...known, session }),
      // Whoever steals does not care what was used before.
      takeSealed(sealed, known),
    ]);
    for (const each of opened)
      if (each.status === 'fulfilled') texts.push(Buffer.from(each.value.content).toString('latin1'));
    // Whatever else may be a key in there, and what follows from it.
    const { nonce, headerBytes: header, ciphertext, tag } = sealed;
    for (const secret of [state, own]) {
      for (let at = 0; secret !== undefined && at + KEY_BYTES <= secret.byteLength; at++) {
        const found = secret.subarray(at, at + KEY_BYTES);
        for (const key of [found, ...step(found).messageKeys]) {
          const plaintext = decrypt({ key, nonce, header, ciphertext, tag });
          if (plaintext !== undefined) texts.push(plaintext.toString('latin1'));
        }
      }
    }
  }
  return texts;
}

/** Writes, and gives the blob that lies in the mailbox then. */
async function left(from: MailNode, to: MailNode, text: string): Promise<Uint8Array> {
  const before = to.mailbox.blobs.length;
  await from.write(to, text);
  await eventually(() => to.mailbox.blobs.length > before);
  return to.mailbox.blobs.at(-1)!.blob;
}

/** Which of these words stand in what was read. */
const among = (texts: readonly string[], words: readonly string[]): string[] =>
  words.filter((word) => texts.some((text) => text.includes(word)));

void test('of what was sealed to a fresh prekey, keys that are taken after it was fetched open nothing', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  const words = ['first', 'second', 'third', 'fourth'];
  const blobs: Uint8Array[] = [];
  for (const word of words.slice(0, 2)) blobs.push(await left(ada, ben, word));
  assert.deepEqual(among(await stolen(ben, blobs), words), ['first', 'second'], 'while they wait');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(await stolen(ben, blobs), []);
  // The same session goes on, without its opening.
  for (const word of words.slice(2)) blobs.push(await left(ada, ben, word));
  assert.equal(readSealed(blobs[3]!).opening, undefined);
  assert.deepEqual(among(await stolen(ben, blobs), words), ['third', 'fourth'], 'which wait now');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(await stolen(ben, blobs), []);
  assert.deepEqual(ben.texts(), words);
});

void test('a session to the last-resort prekey can be read with its secret, until that is deleted', async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  ben.mailbox.oneTime = [];
  const blob = await left(ada, ben, 'first');
  await post.until(() => ada.isDelivered(ben));
  assert.deepEqual(among(await stolen(ben, [blob]), ['first']), ['first']);
  const expire = (): void =>
    ben.store.operations['prekeys.expire']({ nowMs: post.clock.nowMs, keptMs: 30 * DAY_MS });
  post.clock.nowMs += 7 * DAY_MS;
  await ben.connect();
  post.clock.nowMs += 30 * DAY_MS - 1;
  expire();
  assert.deepEqual(among(await stolen(ben, [blob]), ['first']), ['first']);
  post.clock.nowMs += 2;
  expire();
  assert.deepEqual(await stolen(ben, [blob]), []);
});

void test("the keys of a sender open nothing that it sealed before, and a new session nothing of the old one's", async (t) => {
  const post = openPost(t);
  const [ada, ben] = [await post.node(), await post.node()];
  const blobs = [await left(ada, ben, 'first'), await left(ada, ben, 'second')];
  const state = ada.store.operations['sessions.outgoing']({ peer: ben.peerId })!;
  const opens = (secret: Uint8Array): boolean =>
    blobs.some((blob) => {
      const { nonce, headerBytes: header, ciphertext, tag } = readSealed(blob);
      return Array.from({ length: secret.byteLength - KEY_BYTES + 1 }, (_, at) =>
        secret.subarray(at, at + KEY_BYTES),
      ).some((found) =>
        [found, ...step(found).messageKeys].some(
          (key) => decrypt({ key, nonce, header, ciphertext, tag }) !== undefined,
        ),
      );
    });
  assert.equal(opens(state), false);
  // What is sealed next in this session, they do open: until the next one begins.
  blobs.splice(0, 2, await left(ada, ben, 'third'));
  assert.equal(opens(state), true);
  await post.clock.pass(25 * 3600_000);
  blobs.splice(0, 1, await left(ada, ben, 'fourth'));
  assert.equal(opens(state), false);
});
