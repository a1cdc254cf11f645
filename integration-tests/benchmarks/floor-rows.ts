import { hash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAILBOX_SCHEMA } from '../../bootstrap/mailbox-table.ts';
import { serveBench } from './bench-process.ts';

/* The mailbox's rows, written and deleted by one process that groups its commits, and does nothing else. */

const folder = mkdtempSync(join(tmpdir(), 'tincan-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const database = new DatabaseSync(join(folder, 'floor.db'));
database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec(MAILBOX_SCHEMA);
const insert = database.prepare(
  `INSERT INTO mailbox_blob (recipient, depositor, deposited_at_ms, expires_at_ms, blob_id, blob) VALUES (?, ?, ?, ?, ?, ?)`,
);
const select = database.prepare(
  'SELECT number, blob FROM mailbox_blob WHERE recipient = ? AND number > ? ORDER BY number LIMIT ?',
);
const remove = database.prepare('DELETE FROM mailbox_blob WHERE number = ?');

interface Work {
  rows: number;
  group: number;
  recipients: number;
  blobBytes: number;
}

serveBench({
  /** Rows a second, `group` of them a commit. */
  deposit({ rows, group, recipients, blobBytes }: Work): number {
    const blobs = Array.from({ length: group }, () => randomBytes(blobBytes));
    const ids = blobs.map((blob) => hash('sha256', blob, 'buffer'));
    const start = performance.now();
    for (let row = 0; row < rows; row += group) {
      database.exec('BEGIN');
      for (let index = 0; index < group; index++) {
        insert.run((row + index) % recipients, 1, Date.now(), Date.now(), ids[index]!, blobs[index]!);
      }
      database.exec('COMMIT');
    }
    return rows / ((performance.now() - start) / 1000);
  },

  /** Rows read and deleted a second, `group` of them a commit. */
  drain({ rows, group, recipients, blobBytes }: Work): number {
    const blob = randomBytes(blobBytes);
    const id = hash('sha256', blob, 'buffer');
    database.exec('DELETE FROM mailbox_blob; BEGIN');
    for (let row = 0; row < rows; row++) insert.run(row % recipients, 1, Date.now(), Date.now(), id, blob);
    database.exec('COMMIT');
    const start = performance.now();
    for (let recipient = 0; recipient < recipients; recipient++) {
      for (let after = 0; ;) {
        const found = select.all(recipient, after, group);
        if (found.length === 0) break;
        database.exec('BEGIN');
        for (const { number } of found) {
          remove.run(number as number);
          after = number as number;
        }
        database.exec('COMMIT');
      }
    }
    return rows / ((performance.now() - start) / 1000);
  },
});
