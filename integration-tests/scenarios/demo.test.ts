import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand, tincan } from '../harness/command.ts';
import { environment, TINCAN } from '../harness/program.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

/** The bound, on two cores that have nothing else to do. */
const TOUR_MS = 40_000;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The processes that a demo started, from the file it leaves for the next one. */
async function startedBy(folder: string): Promise<number[]> {
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith('processes.json')) continue;
    return JSON.parse(await readFile(join(folder, entry), 'utf8')) as number[];
  }
  return [];
}

for (const [title, args] of [
  ['the tour', ['demo', '--tour']],
  ['the demo without a terminal', ['demo']],
] as const) {
  scenario(`${title} holds every step, in time`, async (town) => {
    const from = performance.now();
    const { code, stdout, stderr } = await tincan(args, { signal: town.signal, cwd: town.folder });
    assert.equal(code, 0, stdout + stderr);
    assert.ok(performance.now() - from < TOUR_MS);
    assert.match(stdout, /every step held/);
    for (const step of [
      /claim the names/,
      /both delivered live/,
      /SIGKILL/,
      /all three, in order/,
      /phonebook is stopped/,
      /still arrives, directly/,
      /still resolves/,
    ]) {
      assert.match(stdout, step);
    }
  });
}

scenario('a tour that is interrupted leaves nothing running', async (town) => {
  const { signal, folder } = town;
  const [file, ...args] = TINCAN as [string, ...string[]];
  const child = spawn(file, [...args, 'demo', '--tour'], {
    cwd: folder,
    env: environment(),
    stdio: 'ignore',
  });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  const pids = await waitFor(
    'the tour to have three programs',
    async () => {
      const started = await startedBy(folder);
      return started.length >= 3 && started;
    },
    { signal },
  );
  child.kill('SIGINT');
  await exited;
  await waitFor('all of them to be gone', () => !pids.some(isAlive), { signal });
});

const { code: hasScript } = await runCommand(['script', '--version'], {
  signal: AbortSignal.timeout(10_000),
}).catch(() => ({ code: 1 }));

scenario(
  'the demo on a terminal: a chat with the echo bot, and Ctrl-C leaves nothing running',
  async (town) => {
    const { signal, folder } = town;
    const command = [...TINCAN, 'demo'].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      cwd: folder,
      env: environment({ TERM: 'xterm', SHELL: '/bin/sh' }),
    });
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      screen += chunk;
    });
    const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
    try {
      await waitFor('the chat', () => screen.includes('/help'), { signal });
      child.stdin.write('is there an echo?\n');
      // Once as the terminal shows what is typed, once as the bot's answer.
      await waitFor('the answer', () => screen.split('is there an echo?').length > 2, { signal });
      const pids = await startedBy(folder);
      assert.ok(pids.length >= 3 && pids.every(isAlive), `${pids.length} programs`);
      child.stdin.write('\u0003');
      await exited;
      await waitFor('all of them to be gone', () => !pids.some(isAlive), { signal });
    } catch (error) {
      process.stderr.write(`${screen}\n`);
      throw error;
    } finally {
      child.kill('SIGKILL');
    }
  },
  { skip: hasScript === 0 ? false : 'script(1) makes the terminal, and is not installed' },
);
