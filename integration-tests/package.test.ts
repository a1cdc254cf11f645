import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { ORDERS_VARIABLE } from './faults/hook/orders.ts';
import { copyCheckout, hostNode, npmEnvironment } from './harness/checkout.ts';
import type { HostNode } from './harness/checkout.ts';
import { runCommand } from './harness/command.ts';
import { environment } from './harness/program.ts';
import { waitFor } from './harness/wait-for.ts';

/**
 * What a user gets: a checkout in which `npm ci` was run (without install scripts, which some turn off), and the package.
 * Both under the Node of this machine, which may be an old one. The tests build on one another.
 */
const NPM_MS = 240_000;

let folder: string;
let checkout: string;
let host: HostNode;
let env: NodeJS.ProcessEnv;
before(async () => {
  const signal = AbortSignal.timeout(NPM_MS);
  folder = await mkdtemp(join(tmpdir(), 'tincan-package-'));
  checkout = join(folder, 'checkout');
  await copyCheckout(checkout);
  const found = await hostNode({ signal });
  assert.ok(found !== undefined, 'there is no Node on the search path');
  host = found;
  env = npmEnvironment(host.path);
});
after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

/** Shell commands in a document, save those marked as not to be run, each with the line it is at. */
function shellBlocks(text: string): { line: number; script: string }[] {
  const blocks = text.matchAll(/(<!-- not run: [^>]*-->\s*)?^```sh\n(.*?)^```$/gms);
  return Array.from(blocks, (match) => ({
    skipped: match[1] !== undefined,
    line: text.slice(0, match.index).split('\n').length,
    script: match[2]!,
  })).filter(({ skipped }) => !skipped);
}

void test('the commands of the README run as written, from npm ci on', { timeout: NPM_MS }, async (t) => {
  t.diagnostic(`under Node ${host.version}`);
  const blocks = shellBlocks(await readFile(join(checkout, 'README.md'), 'utf8'));
  assert.match(blocks[0]?.script ?? '', /^npm ci && npm start$/m);
  for (const { line, script } of blocks) {
    const { code, stdout, stderr } = await runCommand(['bash', '-euo', 'pipefail', '-c', script], {
      signal: t.signal,
      cwd: checkout,
      env,
    });
    assert.equal(code, 0, `README.md, line ${line}:\n${stdout}\n${stderr}`);
  }
});

void test('the launcher passes signals and exit codes on, under the Node of this machine', async (t) => {
  const [major, minor] = host.version.split('.').map(Number) as [number, number];
  if (major > 26 || (major === 26 && minor >= 4)) t.diagnostic(`Node ${host.version} needs no launcher`);
  const launcher = [host.node, join(checkout, 'cli/tincan.cjs')];
  const run = (...args: string[]) => runCommand([...launcher, ...args], { signal: t.signal, env });
  assert.equal((await run('--version')).code, 0);
  assert.equal((await run('no-such-command')).code, 2);
  assert.equal((await run('status', '--data-dir', join(folder, 'nowhere'))).code, 3);

  for (const [name, code] of [
    ['SIGTERM', 0],
    ['SIGINT', 0],
  ] as const) {
    const { child, pid } = await startDaemon(launcher, join(folder, name), t.signal);
    child.kill(name);
    const exited = await new Promise((resolve) => child.on('exit', resolve));
    assert.equal(exited, code, name);
    assert.ok(!isAlive(pid));
  }
  const { child, pid } = await startDaemon(launcher, join(folder, 'killed'), t.signal);
  child.kill('SIGKILL');
  await waitFor('the daemon to follow its launcher', () => !isAlive(pid), { signal: t.signal });
});

void test(
  'the package, installed into an empty folder, is a working tincan',
  { timeout: NPM_MS },
  async (t) => {
    const { signal } = t;
    const packed = await runCommand(['npm', 'pack', '--json'], {
      signal,
      cwd: checkout,
      env: { ...env, npm_config_ignore_scripts: 'false' },
    });
    assert.equal(packed.code, 0, packed.stderr);
    // What the build prints comes first.
    const json = packed.stdout.slice(packed.stdout.search(/^[[{]$/m));
    const answer = JSON.parse(json) as Packed[] | Record<string, Packed>;
    const [tarball] = Object.values(answer);
    const files = tarball!.files.map(({ path }) => path);
    for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'package.json']) {
      assert.ok(files.includes(file), `${file} is missing`);
    }
    const others = files.filter((file) => file.includes('/') && !/^dist\/.*\.js$|^cli\/\w+\.cjs$/.test(file));
    assert.deepEqual(others, []);
    assert.deepEqual(
      files.filter((file) => /test|fixture|fake|integration/.test(file)),
      [],
    );
    // The product says when it commits; what makes it fail there stays with the tests.
    for (const file of files.filter((file) => file.endsWith('.js'))) {
      const text = await readFile(join(checkout, file), 'utf8');
      assert.ok(
        !text.includes(ORDERS_VARIABLE) && !/\bfaults\//.test(text),
        `${file} knows of the fault hook`,
      );
    }

    const empty = join(folder, 'empty');
    await mkdir(empty);
    const installed = await runCommand(
      ['npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', join(checkout, tarball!.filename)],
      { signal, cwd: empty, env },
    );
    assert.equal(installed.code, 0, installed.stderr);

    const command = [join(empty, 'node_modules/.bin/tincan')];
    const run = (...args: string[]) => runCommand([...command, ...args], { signal, env });
    const bootstrap = await startProgram(
      [...command, 'bootstrap', '--http=127.0.0.1:0'],
      join(folder, 'town'),
      signal,
    );
    const address = `--bootstrap=${bootstrap.multiaddrs[0]!}`;
    const ada = await startDaemon(command, join(folder, 'ada'), signal, ['--name=ada', address]);
    const ben = await startDaemon(command, join(folder, 'ben'), signal, ['--name=ben', address]);
    const status = await run('status', '--json', '--data-dir', join(folder, 'ada'));
    const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as {
      version: string;
    };
    assert.equal((JSON.parse(status.stdout) as { version: string }).version, version);
    await waitFor(
      'ben to be known',
      async () => (await run('whois', 'ben', '--data-dir', join(folder, 'ada'))).code === 0,
      { signal },
    );
    // Ada asks by writing, and Ben says yes.
    const asked = await run('send', 'ben', 'hello', '--wait=delivered', '--data-dir', join(folder, 'ada'));
    assert.equal(asked.code, 0, asked.stderr);
    const accepted = await run('accept', 'ada', '--data-dir', join(folder, 'ben'));
    assert.equal(accepted.code, 0, accepted.stderr);
    for (const [from, to] of [
      ['ada', 'ben'],
      ['ben', 'ada'],
    ] as const) {
      const sent = await run(
        'send',
        to,
        `from ${from}`,
        '--wait=delivered',
        '--data-dir',
        join(folder, from),
      );
      assert.equal(sent.code, 0, sent.stderr);
      assert.match((await run('inbox', '--data-dir', join(folder, to))).stdout, new RegExp(`from ${from}`));
    }
    for (const { child } of [ada, ben, bootstrap]) {
      child.kill('SIGTERM');
      assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
    }
  },
);

interface Packed {
  filename: string;
  files: { path: string }[];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Starts a program; it is killed when the signal fires. `pid` is the process that serves, behind its launcher. */
async function startProgram([file, ...args]: readonly string[], dataDir: string, signal: AbortSignal) {
  const child = spawn(
    file!,
    [...args, '--json', `--data-dir=${dataDir}`, '--listen=/ip4/127.0.0.1/tcp/0', '--log-level=error'],
    { env: environment(env), stdio: ['ignore', 'pipe', 'inherit'] },
  );
  signal.addEventListener('abort', () => child.kill('SIGKILL'));
  for await (const line of createInterface({ input: child.stdout })) {
    const { multiaddrs } = JSON.parse(line) as { multiaddrs: string[] };
    return { child, multiaddrs };
  }
  throw new Error(`${args.join(' ')} ended before it was ready`);
}

async function startDaemon(
  command: readonly string[],
  dataDir: string,
  signal: AbortSignal,
  args: readonly string[] = [],
) {
  const { child, multiaddrs } = await startProgram([...command, 'daemon', ...args], dataDir, signal);
  const { pid } = JSON.parse(await readFile(join(dataDir, 'daemon.json'), 'utf8')) as { pid: number };
  return { child, multiaddrs, pid };
}
