import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backlog } from './backlog.ts';

const MESSAGES = 20_000;

/** One blob of them may wait in a mailbox. It is of 64 KiB, and a message takes more than 100 bytes. */
const MOST_STORED = 655;

/** No backlog of this size takes so long on two busy cores. */
const BACKLOG_MS = 150_000;

void test(`${MESSAGES} queued messages survive the ends of both programs, and arrive once and in order`, async (t) => {
  const signal = AbortSignal.any([t.signal, AbortSignal.timeout(BACKLOG_MS)]);
  const report = await backlog({
    seed: 1,
    messages: MESSAGES,
    signal,
    log: (line) => t.diagnostic(line),
  });
  // That they are there as they were sent, `backlog` has looked at itself.
  assert.ok(report.stored <= MOST_STORED, `${report.stored} are stored`);
  assert.equal(report.replay.messages, MESSAGES - 1);
  assert.ok(report.api.asked > 0);
});
