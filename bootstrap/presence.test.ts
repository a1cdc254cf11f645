import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PRESENCE_MS } from '../protocols/phonebook/protocol.ts';
import { Presence } from './presence.ts';
import type { PresenceDetails } from './presence.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const LIMITS = { maxPeers: 100, maxPresenceBytes: 1_000_000 };

function details(changes: Partial<PresenceDetails> = {}): PresenceDetails {
  return {
    peerRecord: new Uint8Array(10),
    contactCard: null,
    contactCardExpiresMs: 0,
    listed: true,
    reachedAt: '',
    ...changes,
  };
}

/** Everybody listed, page by page. */
function listed(presence: Presence, limit: number): string[] {
  const all: string[] = [];
  for (let after = ''; ;) {
    const { entries, next } = presence.list({ onlineOnly: false, limit, after });
    assert.ok(entries.length <= limit);
    all.push(...entries.map(({ peerId, name }) => name ?? peerId));
    if (next === null) return all;
    after = next;
  }
}

void test('the listing is who was heard of, in order, each once, whatever the size of a page', () => {
  const peer = fc.constantFrom('p1', 'p2', 'p3', 'p4', 'p5');
  const step = fc.oneof(
    fc.record({ act: fc.constant('renew' as const), peer, listed: fc.boolean() }),
    fc.record({ act: fc.constant('name' as const), peer, name: fc.constantFrom('a', 'b', null) }),
    fc.record({ act: fc.constant('leave' as const), peer }),
    fc.record({ act: fc.constant('wait' as const), ms: fc.constantFrom(1, PRESENCE_MS / 2, PRESENCE_MS) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), fc.integer({ min: 1, max: 4 }), (steps, limit) => {
      let nowMs = NOW_MS;
      const presence = new Presence({ nowMs: () => nowMs, limits: LIMITS });
      const model = new Map<
        string,
        { seenMs: number; listed: boolean; connected: boolean; name: string | null }
      >();
      for (const taken of steps) {
        if (taken.act === 'wait') {
          nowMs += taken.ms;
        } else if (taken.act === 'renew') {
          presence.renewed(taken.peer, details({ listed: taken.listed }));
          const name = model.get(taken.peer)?.name ?? null;
          model.set(taken.peer, { seenMs: nowMs, listed: taken.listed, connected: true, name });
        } else if (taken.act === 'leave') {
          presence.disconnected(taken.peer);
          const row = model.get(taken.peer);
          if (row?.connected === true) {
            if (nowMs - row.seenMs < PRESENCE_MS) row.seenMs = nowMs;
            row.connected = false;
          }
        } else {
          const { peer, name } = taken;
          presence.named(peer, name === null ? null : { name, seq: 1, expiresMs: nowMs + 100 * PRESENCE_MS });
          const row = model.get(peer);
          if (row === undefined) continue;
          for (const other of model.values()) if (name !== null && other.name === name) other.name = null;
          row.name = name;
        }
      }
      const expected = Array.from(model)
        .filter(([, row]) => row.listed && nowMs - row.seenMs < PRESENCE_MS)
        .map(([peerId, { name }]) => name ?? peerId);
      assert.deepEqual(listed(presence, limit), expected.toSorted());
    }),
    { numRuns: 500 },
  );
});

void test('memory is bounded by peers and by bytes, and only those offline make room', () => {
  let nowMs = NOW_MS;
  const presence = new Presence({ nowMs: () => nowMs, limits: { maxPeers: 3, maxPresenceBytes: 8000 } });
  for (const peer of ['p1', 'p2', 'p3']) assert.ok(presence.renewed(peer, details()));
  assert.equal(presence.renewed('p4', details()), undefined);
  presence.disconnected('p2');
  assert.ok(presence.renewed('p4', details()));
  assert.equal(presence.get('p2'), undefined);
  assert.deepEqual(listed(presence, 10), ['p1', 'p3', 'p4']);

  const large = details({ contactCard: new Uint8Array(4000) });
  assert.ok(presence.renewed('p1', large));
  assert.equal(presence.renewed('p3', large), undefined, 'over the bytes');
  assert.equal(presence.get('p3')?.contactCard, null, 'and nothing was changed');
  nowMs += PRESENCE_MS;
  assert.ok(presence.renewed('p3', large));
  assert.equal(presence.get('p1'), undefined);
});

void test('a name that expires is no longer shown', () => {
  let nowMs = NOW_MS;
  const presence = new Presence({ nowMs: () => nowMs, limits: LIMITS });
  presence.renewed('p1', details());
  presence.named('p1', { name: 'bob', seq: 1, expiresMs: NOW_MS + 10 });
  assert.deepEqual(listed(presence, 10), ['bob']);
  nowMs += 10;
  assert.deepEqual(listed(presence, 10), ['p1']);
});

void test('a clock that was years ahead leaves nobody in the listing for years', () => {
  const wrongMs = NOW_MS + 3_650 * 24 * 3_600_000;
  let nowMs = wrongMs;
  const presence = new Presence({ nowMs: () => nowMs, limits: LIMITS });
  presence.renewed('p1', details());
  presence.renewed('p2', details());
  nowMs = NOW_MS;
  presence.renewed('p1', details());
  assert.deepEqual(listed(presence, 10), ['p1']);
});
