import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { storeHealth } from './store-health.ts';

function health() {
  const told: string[] = [];
  const state = { works: true, probes: 0 };
  const subject = storeHealth({
    dataDir: tmpdir(),
    async probe() {
      state.probes++;
      if (!state.works) throw new StoreError('no room', 'disk-full');
    },
    onTrouble: (trouble) => told.push(trouble),
    onRecovered: () => told.push('recovered'),
  });
  return { subject, told, state };
}

void test('a disk that is full is told once, and tried again by who asks', async () => {
  const { subject, told, state } = health();
  assert.equal(await subject.trouble(), undefined);
  assert.equal(state.probes, 0);
  state.works = false;
  for (let i = 0; i < 3; i++) assert.equal(subject.failed(new StoreError('no room', 'disk-full')), true);
  const answers = await Promise.all([subject.trouble(), subject.trouble()]);
  assert.deepEqual(answers, ['the disk is full', 'the disk is full']);
  assert.equal(state.probes, 1);
  state.works = true;
  assert.equal(await subject.trouble(), undefined);
  assert.deepEqual(told, ['the disk is full', 'recovered']);
});

void test('damage stays; other failures are not of the disk', async () => {
  const { subject, told } = health();
  assert.equal(subject.failed(new StoreError('a fault', 'internal')), false);
  assert.equal(subject.failed(new TypeError('a fault')), false);
  assert.equal(await subject.trouble(), undefined);
  for (let i = 0; i < 3; i++) assert.equal(subject.failed(new StoreError('malformed', 'corrupt')), true);
  assert.match((await subject.trouble())!, /damaged.*tincan doctor --repair/);
  assert.equal(told.length, 1);
});
