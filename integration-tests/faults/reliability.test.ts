import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../harness/program.ts';
import { loadKinds } from './episodes/kinds.ts';
import { PARTS } from './parts.ts';

/** The names in the first column of the table under these column heads. */
async function namesUnder(heads: RegExp): Promise<string[]> {
  const page = await readFile(join(ROOT, 'docs/reliability.md'), 'utf8');
  const from = page.search(heads);
  assert.notEqual(from, -1);
  const [table] = page.slice(from).split('\n\n');
  return Array.from(table!.matchAll(/^\| `([^`]+)`/gm), ([, name]) => name!);
}

void test('docs/reliability.md has every fault that schedules draw, and no other', async () => {
  const kinds = (await loadKinds()).map(({ name }) => name);
  assert.deepEqual((await namesUnder(/^\| fault /m)).toSorted(), kinds);
});

void test('docs/reliability.md has every part of a run', async () => {
  const parts = PARTS.map(({ name }) => name);
  assert.deepEqual((await namesUnder(/^\| part .*what it does/m)).toSorted(), parts.toSorted());
});
