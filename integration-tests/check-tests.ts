import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import type { TestEvent } from 'node:test/reporters';

export interface TestOutcome {
  passed: number;
  failed: number;
  /** Titles of tests that were passed over, each with its reason. */
  skipped: string[];
  /** What failed and why, for a person. */
  report: string;
}

/** A file of tests that takes this long hangs. */
const FILE_MS = 240_000;

/** Output of a failed file that is shown. */
const SHOWN_CHARS = 60_000;

/** Modules that one file of tests has compiled, the next need not: without types to strip, it starts a fifth sooner. */
const COMPILE_CACHE = 'node_modules/.cache/tests';

/** Runs test files with Node's runner, as many at a time as there are cores, and at least two: much of it is waiting. */
export async function runTests(root: string, globPatterns: readonly string[]): Promise<TestOutcome> {
  const outcome: TestOutcome = { passed: 0, failed: 0, skipped: [], report: '' };
  const output = new Map<string, string>();
  const failedFiles = new Set<string>();
  const failures: string[] = [];

  const stream = run({
    cwd: root,
    globPatterns: [...globPatterns],
    concurrency: Math.max(2, availableParallelism()),
    env: { NODE_COMPILE_CACHE: join(root, COMPILE_CACHE), ...process.env },
    timeout: FILE_MS,
  });
  for await (const { type, data } of stream as AsyncIterable<TestEvent>) {
    if (type === 'test:stderr' || type === 'test:stdout') {
      output.set(data.file, ((output.get(data.file) ?? '') + data.message).slice(-SHOWN_CHARS));
    } else if (type === 'test:pass' && data.skip !== undefined && data.skip !== false) {
      outcome.skipped.push(`${data.name}${data.skip === true ? '' : `: ${data.skip}`}`);
    } else if (type === 'test:fail' && !isForSubtests(data.details.error)) {
      const file = data.file ?? data.name;
      failedFiles.add(file);
      failures.push(
        `✖ ${data.name}\n  ${relative(root, file)}:${data.line ?? 1}\n${indent(describe(data.details.error))}`,
      );
    } else if (type === 'test:summary' && data.file === undefined) {
      const { counts } = data;
      outcome.passed = counts.passed;
      outcome.failed = counts.tests - counts.passed - counts.skipped - counts.todo;
    }
  }
  // A file that can't be loaded fails without a test of its own to count.
  if (failures.length > 0) outcome.failed = Math.max(outcome.failed, 1);
  const said = [...failedFiles]
    .filter((file) => output.has(file))
    .map((file) => `--- ${relative(root, file)} said\n${output.get(file)}`);
  outcome.report = [...said, ...failures].join('\n');
  return outcome;
}

/** A test that failed only because one inside it did. */
function isForSubtests(error: Error): boolean {
  return 'failureType' in error && error.failureType === 'subtestsFailed';
}

/** The error of the test itself: the runner wraps it. */
function describe(error: Error): string {
  const own = error.cause instanceof Error ? error.cause : error;
  const cause = own.cause instanceof Error ? `\ncaused by ${own.cause.stack ?? own.cause.message}` : '';
  return `${own.stack ?? own.message}${cause}`;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}
