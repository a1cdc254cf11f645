import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveBench } from './bench-process.ts';

/* The plainest server: one POST, one committed row, one answer. */

const folder = mkdtempSync(join(tmpdir(), 'tincan-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const database = new DatabaseSync(join(folder, 'floor.db'));
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec('CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
const insert = database.prepare('INSERT INTO rows (body) VALUES (?)');

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk: string) => {
    body += chunk;
  });
  request.on('end', () => {
    insert.run((JSON.parse(body) as { text: string }).text);
    response.end('{"state":"stored"}');
  });
});
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve);
});

serveBench({ port: () => (server.address() as AddressInfo).port });
