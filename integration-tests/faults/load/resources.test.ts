import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { growth, resourcesOf, settledResources } from './resources.ts';
import type { Held } from './resources.ts';

const MIB = 1024 * 1024;
const warm: Held = { bytes: 100 * MIB, handles: 40, threads: 12 };
const here = (await resourcesOf(process.pid)) !== undefined;

void test('what a process has can be read', { skip: here ? false : 'there is no /proc' }, async () => {
  const before = (await resourcesOf(process.pid))!;
  assert.ok(before.rssBytes > before.anonymousBytes && before.anonymousBytes > MIB);
  assert.ok(before.peakRssBytes >= before.rssBytes);
  assert.ok(before.threads > 1);
  assert.ok(before.cpuMs > 0);
  const files = await Promise.all(Array.from({ length: 100 }, async () => open(import.meta.filename)));
  const after = (await resourcesOf(process.pid))!;
  // The runner of the tests opens and closes some of its own meanwhile.
  assert.ok(after.handles >= before.handles + 50);
  await Promise.all(files.map((file) => file.close()));
});

void test('a process that has ended has nothing', async (t) => {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  assert.equal(await resourcesOf(child.pid!), undefined);
  assert.equal(await settledResources(child.pid!, { signal: t.signal, settleMs: 0 }), undefined);
});

void test('growth within a tenth and the allowance is none', () => {
  assert.deepEqual(growth(warm, { ...warm, bytes: 118 * MIB, handles: 49, threads: 16 }), []);
  assert.deepEqual(growth(warm, { ...warm, bytes: 10 * MIB, handles: 1, threads: 1 }), []);
});

void test('growth beyond it says what grew', () => {
  const end = { ...warm, bytes: 119 * MIB, handles: 50, threads: 18 };
  assert.deepEqual(growth(warm, end), [
    'memory grew from 100 MiB to 119 MiB',
    'open handles grew from 40 to 50',
    'threads grew from 12 to 18',
  ]);
});
