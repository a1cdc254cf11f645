import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSealed, SealedError } from '../../protocols/mailbox/sealed.ts';
import type { SealedErrorCode } from '../../protocols/mailbox/sealed.ts';
import { keyOf } from './chain.ts';
import { decodeIncoming, encodeIncoming, takeSealed } from './incoming.ts';
import { confirmed, decodeOutgoing, encodeOutgoing, seal, startSession } from './outgoing.ts';
import { decodeOwnPrekey, encodeOwnPrekey, makePrekey } from './prekeys.ts';
import type { OwnPrekey } from './prekeys.ts';
import { bytesOf, coinsOf, nonceOf, person, secretKeyOf } from './sessions-fixture.ts';

/*
 * Two people, a network that loses, doubles and reorders, and backups that are restored at either end, against a model that
 * knows only which numbers of which session have been taken.
 */

const NOW_MS = Date.UTC(2026, 10, 20);
const PREKEYS = 6;

const alice = await person('alice');
const bob = await person('bob');

const prekeys: OwnPrekey[] = [];
for (let index = 0; index < PREKEYS; index++) {
  const { prekey } = await makePrekey(bob.identity, {
    // The last one is for when the others are used up.
    kind: index === PREKEYS - 1 ? 'last-resort' : 'one-time',
    expiresMs: NOW_MS + 1,
    secretKey: secretKeyOf(`${index}`),
  });
  prekeys.push(prekey);
}

type Action =
  | { do: 'seal' | 'confirm' | 'renew' | 'back up sender' | 'restore sender' }
  | { do: 'back up recipient' | 'restore recipient' | 'lose sessions' }
  | { do: 'deliver'; which: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('seal' as const) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('deliver' as const), which: fc.nat({ max: 50 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'confirm' as const,
        'renew' as const,
        'back up sender' as const,
        'restore sender' as const,
        'back up recipient' as const,
        'restore recipient' as const,
        'lose sessions' as const,
      ),
    }),
  },
);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** All that a recipient keeps, as bytes, so that a copy of it is a backup. */
class Recipient {
  sessions = new Map<string, Uint8Array>();
  secrets = new Map(prekeys.map((prekey) => [hex(prekey.id), encodeOwnPrekey(prekey)]));
  /** The model: numbers taken, by session. */
  taken = new Map<string, Set<number>>();

  copy(): Recipient {
    const copy = new Recipient();
    copy.sessions = new Map(this.sessions);
    copy.secrets = new Map(this.secrets);
    copy.taken = new Map(Array.from(this.taken, ([id, numbers]) => [id, new Set(numbers)]));
    return copy;
  }

  /** What the model expects of a blob: an error, or undefined for its content. */
  expects(blob: Uint8Array): SealedErrorCode | undefined {
    const { sessionId, counter, opening } = readSealed(blob);
    const taken = this.taken.get(hex(sessionId));
    if (taken !== undefined) return taken.has(counter) ? 'used-key' : undefined;
    if (opening === undefined) return 'unknown-session';
    return this.secrets.has(hex(opening.prekeyId)) ? undefined : 'unknown-prekey';
  }

  async take(bytes: Uint8Array): Promise<Uint8Array> {
    const blob = readSealed(bytes);
    const session = this.sessions.get(hex(blob.sessionId));
    const secret = blob.opening && this.secrets.get(hex(blob.opening.prekeyId));
    const taken = await takeSealed(blob, {
      recipient: bob.peer,
      nowMs: NOW_MS,
      session: session && decodeIncoming(session),
      prekey: secret && decodeOwnPrekey(secret),
    });
    assert.deepEqual(taken.sender, alice.peer);
    const id = hex(taken.session.id);
    this.sessions.set(id, encodeIncoming(taken.session));
    if (taken.usedPrekey) this.secrets.delete(hex(taken.usedPrekey));
    this.taken.set(id, (this.taken.get(id) ?? new Set()).add(blob.counter));
    return taken.content;
  }

  loseSessions(): void {
    this.sessions.clear();
    this.taken.clear();
  }
}

const openedWith = async (index: number, name: string): Promise<Uint8Array> =>
  encodeOutgoing(
    await startSession(alice.identity, {
      recipient: bob.peer,
      prekey: prekeys[index % PREKEYS]!,
      nowMs: NOW_MS,
      coins: coinsOf(name),
    }),
  );

async function play(actions: readonly Action[]): Promise<void> {
  let renewals = 0;
  let sender = await openedWith(0, '0');
  let recipient = new Recipient();
  let senderBackup = sender;
  let recipientBackup = recipient.copy();
  let senderWasRestored = false;
  const network: { blob: Uint8Array; content: Uint8Array }[] = [];
  const sealedWith = new Map<string, string>();
  const sealedNonces = new Set<string>();

  const deliver = async ({ blob, content }: { blob: Uint8Array; content: Uint8Array }): Promise<void> => {
    const expected = recipient.expects(blob);
    if (expected === undefined) {
      assert.deepEqual(Uint8Array.from(await recipient.take(blob)), content);
      return;
    }
    await assert.rejects(
      recipient.take(blob),
      (error) => error instanceof SealedError && error.code === expected,
    );
  };

  for (const [turn, action] of actions.entries()) {
    switch (action.do) {
      case 'seal': {
        const session = decodeOutgoing(sender);
        const key = hex(keyOf(session.chain, session.counter)!.key);
        const content = bytesOf(`content ${turn}`, turn * 7);
        const nonce = nonceOf(`${turn}`);
        const sealed = seal(session, content, { nonce });
        sender = encodeOutgoing(sealed.session);
        network.push({ blob: sealed.blob, content });
        if (!senderWasRestored) assert.ok(!sealedWith.has(key), 'a key sealed twice');
        sealedWith.set(key, hex(content));
        assert.ok(!sealedNonces.has(key + hex(nonce)), 'a key and nonce sealed twice');
        sealedNonces.add(key + hex(nonce));
        break;
      }
      case 'deliver':
        if (network.length > 0) await deliver(network[action.which % network.length]!);
        break;
      case 'confirm':
        sender = encodeOutgoing(confirmed(decodeOutgoing(sender)));
        break;
      case 'renew':
        renewals++;
        sender = await openedWith(Math.min(renewals, PREKEYS - 1), `${renewals}`);
        break;
      case 'back up sender':
        senderBackup = sender;
        break;
      case 'restore sender':
        sender = senderBackup;
        senderWasRestored = true;
        break;
      case 'back up recipient':
        recipientBackup = recipient.copy();
        break;
      case 'restore recipient':
        recipient = recipientBackup.copy();
        break;
      case 'lose sessions':
        recipient.loseSessions();
        break;
    }
  }

  // Whatever happened: sealed again in a new session, to a prekey that is there, everything arrives.
  let session = decodeOutgoing(await openedWith(PREKEYS - 1, 'resealed'));
  for (const [index, { content }] of network.entries()) {
    const sealed = seal(session, content, { nonce: nonceOf(`resealed ${index}`) });
    ({ session } = sealed);
    assert.deepEqual(Uint8Array.from(await recipient.take(sealed.blob)), content);
  }
}

test('never a wrong plaintext, never a key used twice, and what does not open says why', async () => {
  await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 50 }), play), { numRuns: 30 });
});
