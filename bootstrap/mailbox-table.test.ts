import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { DepositOutcome, MAILBOX_SCHEMA, mailboxTable } from './mailbox-table.ts';
import type { DepositBatch } from './mailbox-table.ts';

const limits = { blobs: 5, bytes: 60, blobsPerSender: 3, keptMs: 1000, totalBytes: 1024 ** 3 };

const peerBytes = (peer: number): Uint8Array => Uint8Array.of(0, 36, peer);
const blobOf = (content: number): Buffer => Buffer.alloc(3 + (content % 17), content);

interface Item {
  recipient: number;
  content: number;
  livesMs: number;
}

/** One batch, packed by hand. */
function batch(nowMs: number, sender: number, items: readonly Item[]): DepositBatch {
  const fields: number[] = [];
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const { recipient, content, livesMs } of items) {
    const blob = blobOf(content);
    parts.push(hash('sha256', blob, 'buffer'), blob);
    end += 32 + blob.byteLength;
    fields.push(recipient, nowMs + livesMs, end);
  }
  return {
    nowMs,
    depositor: peerBytes(100 + sender),
    recipients: [0, 1, 2].map(peerBytes),
    fields: Float64Array.from(fields),
    bytes: new Uint8Array(Buffer.concat(parts)),
  };
}

interface Row extends Item {
  sender: number;
  expiresMs: number;
}

/** What the table should do, without an index, a cache or a number. */
function modelDeposit(rows: Row[], nowMs: number, sender: number, item: Item): number {
  const held = rows.filter((row) => row.recipient === item.recipient && row.expiresMs > nowMs);
  if (held.some((row) => row.content === item.content)) return DepositOutcome.ALREADY_THERE;
  const bytes = held.reduce((sum, row) => sum + blobOf(row.content).byteLength, 0);
  if (held.length >= limits.blobs || bytes + blobOf(item.content).byteLength > limits.bytes)
    return DepositOutcome.FULL;
  if (held.filter((row) => row.sender === sender).length >= limits.blobsPerSender)
    return DepositOutcome.SENDER_FULL;
  rows.push({ ...item, sender, expiresMs: nowMs + item.livesMs });
  return DepositOutcome.STORED;
}

const recipient = fc.nat({ max: 2 });
const item = fc.record({ recipient, content: fc.nat({ max: 30 }), livesMs: fc.integer({ min: 1, max: 50 }) });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('deposit' as const),
      sender: fc.nat({ max: 2 }),
      items: fc.array(item, { minLength: 1, maxLength: 4 }),
      fails: fc.nat({ max: 5 }).map((n) => n === 0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('acknowledge' as const),
      recipient,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'expire' as const) }) },
);

test('deposits, acknowledgements, rollbacks, restarts and expiry agree with a naive model', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const database = new DatabaseSync(':memory:');
      database.exec(MAILBOX_SCHEMA);
      let table = mailboxTable(database, limits);
      let rows: Row[] = [];
      let nowMs = 1000;
      const next = (recipient: number, maxBlobs: number) =>
        table.operations['mailbox.next']({
          recipient: peerBytes(recipient),
          after: 0,
          maxBlobs,
          maxBytes: 10_000,
          nowMs,
        });
      for (const one of steps) {
        if (one.do === 'deposit') {
          const before = rows.slice();
          const expected = one.items.map((item) => modelDeposit(rows, nowMs, one.sender, item));
          database.exec('BEGIN');
          const { statuses } = table.operations['mailbox.deposit'](batch(nowMs, one.sender, one.items));
          assert.deepEqual([...statuses], expected);
          database.exec(one.fails ? 'ROLLBACK' : 'COMMIT');
          if (one.fails) {
            table.rolledBack();
            rows = before;
          }
        } else if (one.do === 'acknowledge') {
          const { numbers } = next(one.recipient, one.count);
          const upTo = numbers.at(-1);
          if (upTo !== undefined) {
            table.operations['mailbox.acknowledge']({ recipient: peerBytes(one.recipient), upTo });
          }
          let left = one.count;
          rows = rows.filter(
            (row) => row.recipient !== one.recipient || row.expiresMs <= nowMs || left-- <= 0,
          );
        } else if (one.do === 'wait') {
          nowMs += one.ms;
        } else if (one.do === 'restart') {
          table = mailboxTable(database, limits);
        } else {
          table.operations['mailbox.expire']({ after: 0, nowMs });
          rows = rows.filter((row) => row.expiresMs > nowMs);
          assert.equal(table.operations['mailbox.totals'](null).blobs, rows.length);
        }
        for (const recipient of [0, 1, 2]) {
          const { lengths, bytes, more } = next(recipient, 100);
          let at = 0;
          const contents = lengths.map((length) => bytes[(at += length) - 1]);
          const held = rows.filter((row) => row.recipient === recipient && row.expiresMs > nowMs);
          assert.deepEqual(
            contents,
            held.map(({ content }) => content),
          );
          assert.equal(more, false);
        }
      }
      database.close();
    }),
    {
      numRuns: 150,
      // What is found expired when its mailbox is loaded again is not counted any more.
      examples: [
        [
          [
            { do: 'deposit', sender: 0, items: [{ recipient: 0, content: 0, livesMs: 1 }], fails: false },
            { do: 'expire' },
            { do: 'wait', ms: 1 },
            { do: 'deposit', sender: 0, items: [{ recipient: 0, content: 0, livesMs: 1 }], fails: false },
            { do: 'expire' },
          ],
        ],
      ],
    },
  );
});
