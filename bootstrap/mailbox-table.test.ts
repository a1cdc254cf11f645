import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { mailboxBlockLimits } from './mailbox-block-limits.ts';
import { DepositOutcome, mailboxTable, NO_CAPABILITY } from './mailbox-table.ts';
import type { DepositBatch } from './mailbox-table.ts';
import { migrate } from './schema.ts';

const strangers = { blobs: 3, bytes: 30, blobsPerSender: 2 };
const limits = { blobs: 5, bytes: 60, blobsPerSender: 3, strangers, keptMs: 1000, totalBytes: 1024 ** 3 };
const blockLimits = { ...mailboxBlockLimits({ mailboxTotalBytes: 1024 ** 3 }), perOwner: 2 };

const peerBytes = (peer: number): Uint8Array => Uint8Array.of(0, 36, peer);
const senderBytes = (sender: number): Uint8Array => peerBytes(100 + sender);
const blobOf = (content: number): Buffer => Buffer.alloc(3 + (content % 17), content);

interface Item {
  recipient: number;
  content: number;
  livesMs: number;
  issuedMs: number;
}

/** One batch, packed by hand. */
function batch(nowMs: number, sender: number, items: readonly Item[]): DepositBatch {
  const fields: number[] = [];
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const { recipient, content, livesMs, issuedMs } of items) {
    const blob = blobOf(content);
    parts.push(hash('sha256', blob, 'buffer'), blob);
    end += 32 + blob.byteLength;
    fields.push(recipient, nowMs + livesMs, end, issuedMs);
  }
  return {
    nowMs,
    depositor: senderBytes(sender),
    recipients: [0, 1, 2].map(peerBytes),
    fields: Float64Array.from(fields),
    bytes: new Uint8Array(Buffer.concat(parts)),
  };
}

interface Row extends Item {
  sender: number;
  expiresMs: number;
  ofStranger: boolean;
}

/** Whom an owner blocks, or has blocked, the one blocked longest ago first. */
interface Told {
  /** Set with the first block. */
  number: number;
  sender: number;
  blocked: boolean;
  voidMs: number;
}

/** What the table should do, without an index, a cache or a number. */
function modelDeposit(
  rows: Row[],
  told: Told | undefined,
  nowMs: number,
  sender: number,
  item: Item,
): number {
  if (told?.blocked === true) return DepositOutcome.REFUSED;
  const ofStranger = item.issuedMs === NO_CAPABILITY || item.issuedMs <= (told?.voidMs ?? -1);
  const held = rows.filter((row) => row.recipient === item.recipient && row.expiresMs > nowMs);
  if (held.some((row) => row.content === item.content)) return DepositOutcome.ALREADY_THERE;
  const share = held.filter((row) => row.ofStranger === ofStranger);
  const most = ofStranger ? strangers : limits;
  const bytes = share.reduce((sum, row) => sum + blobOf(row.content).byteLength, 0);
  if (share.length >= most.blobs || bytes + blobOf(item.content).byteLength > most.bytes)
    return ofStranger ? DepositOutcome.STRANGERS_FULL : DepositOutcome.FULL;
  if (share.filter((row) => row.sender === sender).length >= most.blobsPerSender)
    return ofStranger ? DepositOutcome.STRANGER_FULL : DepositOutcome.SENDER_FULL;
  rows.push({ ...item, sender, expiresMs: nowMs + item.livesMs, ofStranger });
  return DepositOutcome.STORED;
}

let nextNumber = 0;

/** What an owner has said after a request; undefined when it blocks too many. */
function modelBlock(
  told: readonly Told[],
  { block, unblock, atMs }: { block: number[]; unblock: number[]; atMs: number },
): Told[] | undefined {
  const said = told.map((one) => (unblock.includes(one.sender) ? { ...one, blocked: false } : one));
  const kept = said.filter(({ sender }) => !block.includes(sender));
  const blocked = block.map((sender): Told => {
    const number = told.find((one) => one.sender === sender)?.number ?? nextNumber++;
    return { number, sender, blocked: true, voidMs: atMs };
  });
  const wanted = [...kept, ...blocked.sort((a, b) => a.number - b.number)];
  if (wanted.filter((one) => one.blocked).length > blockLimits.perOwner) return undefined;
  while (wanted.length > blockLimits.perOwner) {
    wanted.splice(
      wanted.findIndex((one) => !one.blocked),
      1,
    );
  }
  return wanted;
}

const recipient = fc.nat({ max: 2 });
const item = fc.record({
  recipient,
  content: fc.nat({ max: 30 }),
  livesMs: fc.integer({ min: 1, max: 50 }),
  issuedMs: fc.oneof(fc.constant(NO_CAPABILITY), fc.nat({ max: 20 })),
});
const someSenders = fc.uniqueArray(fc.nat({ max: 2 }), { maxLength: 3 });
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
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('block' as const),
      recipient,
      block: someSenders,
      unblock: someSenders,
      atMs: fc.nat({ max: 20 }),
      fails: fc.nat({ max: 5 }).map((n) => n === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'expire' as const) }) },
);

test('deposits, acknowledgements, rollbacks, restarts and expiry agree with a naive model', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const database = new DatabaseSync(':memory:');
      migrate(database);
      let table = mailboxTable(database, limits, blockLimits);
      let rows: Row[] = [];
      let told: [Told[], Told[], Told[]] = [[], [], []];
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
          const expected = one.items.map((item) => {
            const said = told[item.recipient]!.find(({ sender }) => sender === one.sender);
            return modelDeposit(rows, said, nowMs, one.sender, item);
          });
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
        } else if (one.do === 'block') {
          const before = [rows, told] as const;
          const unblock = one.unblock.filter((sender) => !one.block.includes(sender));
          nowMs++;
          const expected = modelBlock(told[one.recipient]!, { ...one, unblock });
          if (expected !== undefined) {
            told = told.with(one.recipient, expected) as typeof told;
            const blocked = new Set(one.block);
            rows = rows.filter((row) => row.recipient !== one.recipient || !blocked.has(row.sender));
          }
          database.exec('BEGIN');
          const { outcome, blocked } = table.operations['mailbox.block']({
            owner: peerBytes(one.recipient),
            block: one.block.map(senderBytes),
            unblock: unblock.map(senderBytes),
            atMs: one.atMs,
            nowMs,
          });
          assert.equal(outcome, expected === undefined ? 'full' : 'set');
          assert.equal(blocked, told[one.recipient]!.filter((said) => said.blocked).length);
          database.exec(one.fails ? 'ROLLBACK' : 'COMMIT');
          if (one.fails) {
            table.rolledBack();
            [rows, told] = before;
          }
        } else if (one.do === 'wait') {
          nowMs += one.ms;
        } else if (one.do === 'restart') {
          table = mailboxTable(database, limits, blockLimits);
        } else {
          table.operations['mailbox.expire']({ after: 0, nowMs });
          rows = rows.filter((row) => row.expiresMs > nowMs);
          const { blobs, blocks } = table.operations['mailbox.totals'](null);
          assert.deepEqual([blobs, blocks], [rows.length, told.flat().length]);
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
      numRuns: 300,
      // What is found expired when its mailbox is loaded again is not counted any more.
      examples: [
        [
          [
            {
              do: 'deposit',
              sender: 0,
              items: [{ recipient: 0, content: 0, livesMs: 1, issuedMs: 1 }],
              fails: false,
            },
            { do: 'expire' },
            { do: 'wait', ms: 1 },
            {
              do: 'deposit',
              sender: 0,
              items: [{ recipient: 0, content: 0, livesMs: 1, issuedMs: 1 }],
              fails: false,
            },
            { do: 'expire' },
          ],
        ],
      ],
    },
  );
});
