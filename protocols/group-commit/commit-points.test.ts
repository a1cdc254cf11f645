import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { COMMIT_POINTS } from './commit-points.ts';
import type { CommitPoint } from './commit-points.ts';
import { fixtureStore } from './store-fixture.ts';
import { runGroup } from './worker.ts';
import type { Call } from './worker.ts';

void test('a group tells who listens what is in it, before its commit and after', () => {
  const store = fixtureStore(new DatabaseSync(':memory:'));
  const calls = ['add', 'add', 'addDanglingNote', 'all'].map((operation, id): Call => ({
    id,
    operation,
    argument: operation,
    durability: 'disk',
  }));
  const passed: string[] = [];
  const listener = (point: unknown): void => {
    const { moment, whats } = point as CommitPoint;
    passed.push(`${moment} ${whats.join()}`);
  };
  subscribe(COMMIT_POINTS, listener);
  runGroup(store, calls.slice(0, 2));
  assert.deepEqual(passed.splice(0), ['before-commit add,add', 'after-commit add,add']);
  runGroup(store, [calls[0]!, calls[3]!]);
  assert.deepEqual(passed.splice(0), ['before-commit add,all', 'after-commit add,all']);
  // What could not be committed is at no point behind a commit.
  store.database.exec('PRAGMA foreign_keys = ON');
  runGroup(store, calls.slice(2, 3));
  assert.deepEqual(passed.splice(0), ['before-commit addDanglingNote']);
  unsubscribe(COMMIT_POINTS, listener);
  runGroup(store, calls.slice(0, 1));
  assert.deepEqual(passed, []);
});
