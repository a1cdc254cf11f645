import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { strangersInTurn } from './chat-service.ts';

void test('strangers wait for one another, friends for nobody', async () => {
  const begun: string[] = [];
  const commits = new Map<string, PromiseWithResolvers<Uint8Array[]>>();
  const receive: ChatDecisions['receive'] = (peer) => {
    begun.push(peer);
    const commit = Promise.withResolvers<Uint8Array[]>();
    commits.set(peer, commit);
    return commit.promise;
  };
  const decisions = strangersInTurn({ receive } as ChatDecisions, (peer) => peer === 'friend');
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const first = decisions.receive('mallory', []);
  const second = decisions.receive('eve', []);
  const third = decisions.receive('trudy', []);
  const friends = decisions.receive('friend', []);
  await turn();
  assert.deepEqual(begun, ['friend', 'mallory']);
  commits.get('friend')!.resolve([]);
  await friends;
  commits.get('mallory')!.reject(new Error('the disk is full'));
  await assert.rejects(first, { message: 'the disk is full' });
  await turn();
  assert.deepEqual(begun, ['friend', 'mallory', 'eve']);
  commits.get('eve')!.resolve([]);
  await second;
  await turn();
  commits.get('trudy')!.resolve([Uint8Array.of(1)]);
  assert.deepEqual(await third, [Uint8Array.of(1)]);
});
