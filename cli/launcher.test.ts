import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tincan-launcher-'));
  // Makes this Node say that it is an old one, to the launcher alone.
  writeFileSync(
    join(folder, 'old.cjs'),
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } });",
  );
  writeFileSync(
    join(folder, 'script.mjs'),
    `const [what] = process.argv.slice(2);
    if (what === 'exit') process.exitCode = 7;
    else {
      const alive = setInterval(() => {}, 1000);
      process.on('SIGTERM', () => { clearInterval(alive); process.exitCode = 9; process.disconnect?.(); });
      process.once('disconnect', () => clearInterval(alive));
    }
    process.stdout.write(JSON.stringify({ pid: process.pid, node: process.versions.node, args: process.argv.slice(2) }) + '\\n');`,
  );
});
after(() => rmSync(folder, { recursive: true }));

function launch(t: TestContext, nodeFlags: string[], args: string[]) {
  const child = spawn(process.execPath, [
    ...nodeFlags,
    join(import.meta.dirname, 'runtime.cjs'),
    join(folder, 'script.mjs'),
    ...args,
  ]);
  t.after(() => child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    child,
    exited,
    line: async (): Promise<{ pid: number; node: string; args: string[] }> => {
      while (!stdout.includes('\n')) await new Promise((resolve) => child.stdout.once('data', resolve));
      return JSON.parse(stdout) as { pid: number; node: string; args: string[] };
    },
  };
}

void test('a Node that is new enough runs the script in place', async (t) => {
  const { child, exited, line } = launch(t, [], ['exit', 'a b']);
  const { pid, args } = await line();
  assert.equal(pid, child.pid);
  assert.deepEqual(args, ['exit', 'a b']);
  assert.equal(await exited, 7);
});

void test('an old Node runs it under a newer one and passes the exit code on', async (t) => {
  const { child, exited, line } = launch(t, ['--require', join(folder, 'old.cjs')], ['exit', 'a b']);
  const { pid, node, args } = await line();
  assert.notEqual(pid, child.pid);
  assert.ok(Number(node.split('.')[0]) >= 26);
  assert.deepEqual(args, ['exit', 'a b']);
  assert.equal(await exited, 7);
});

void test('signals are passed on', async (t) => {
  const { child, exited, line } = launch(t, ['--require', join(folder, 'old.cjs')], ['wait']);
  await line();
  child.kill('SIGTERM');
  assert.equal(await exited, 9);
});

void test('a launcher that is killed takes its program with it', async (t) => {
  const { child, exited, line } = launch(t, ['--require', join(folder, 'old.cjs')], ['wait']);
  await line();
  child.kill('SIGKILL');
  // That comes only when the program, too, has let go of standard output.
  await exited;
});
