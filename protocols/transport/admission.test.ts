import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import { admission } from './admission.ts';
import type { AdmissionLimits } from './admission.ts';

const LIMITS: AdmissionLimits = {
  handshakesPerSecond: 1_000,
  maxPendingInbound: 4,
  maxPendingPerAddress: 3,
  maxConnectionsPerAddress: 5,
  handshakeGraceMs: 100,
};

function door(limits: Partial<AdmissionLimits> = {}) {
  const clock = { nowMs: 0 };
  const { admit } = admission({ ...LIMITS, ...limits }, { nowMs: () => clock.nowMs });
  const come = (host: string) => {
    const events = new EventTarget();
    let cut = false;
    const settle = admit({
      remoteAddr: multiaddr(`/ip4/${host}/tcp/1`),
      addEventListener: events.addEventListener.bind(events),
      abort: () => {
        cut = true;
      },
    });
    return {
      settle,
      leave: () => events.dispatchEvent(new Event('close')),
      get cut() {
        return cut;
      },
    };
  };
  return { come, clock };
}

void test('one address takes no more than its part of the handshakes', () => {
  const { come } = door();
  const first = come('192.0.2.1');
  come('192.0.2.1');
  come('192.0.2.1');
  assert.throws(() => come('192.0.2.1'), { name: 'AdmissionError', message: /handshakes of its address/ });
  come('192.0.2.2');
  assert.throws(() => come('192.0.2.2'), { message: 'too many handshakes' });
  first.settle();
  come('192.0.2.1');
});

void test('the slowest handshake makes room when it has had its time', () => {
  const { come, clock } = door();
  const slow = [1, 2, 3, 4].map((host) => come(`192.0.2.${host}`));
  clock.nowMs = 99;
  assert.throws(() => come('192.0.2.9'), { message: 'too many handshakes' });
  clock.nowMs = 100;
  come('192.0.2.9');
  assert.deepEqual(
    slow.map(({ cut }) => cut),
    [true, false, false, false],
  );
  // That it is over is told afterwards, and counts once.
  slow[0]!.settle();
  come('192.0.2.10');
  assert.equal(slow[1]!.cut, true);
});

void test('one address has no more than its part of the connections, until they close', () => {
  const { come } = door();
  const there = Array.from({ length: 5 }, () => {
    const one = come('192.0.2.1');
    one.settle();
    return one;
  });
  assert.throws(() => come('192.0.2.1'), { message: /connections of its address/ });
  come('192.0.2.2').settle();
  there[0]!.leave();
  come('192.0.2.1').settle();
});

void test('handshakes of all together have a rate', () => {
  const { come, clock } = door({ handshakesPerSecond: 2 });
  come('192.0.2.1').settle();
  come('192.0.2.2').settle();
  assert.throws(() => come('192.0.2.3'), { message: 'too many new connections' });
  clock.nowMs = 500;
  come('192.0.2.3').settle();
});
