import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlError } from '../protocols/control/errors.ts';
import type { ControlClient } from '../protocols/control/client.ts';
import { runChat } from './chat.ts';
import { findDaemon } from './daemon-address.ts';
import { demoProcesses } from './demo-processes.ts';
import type { DemoProcesses } from './demo-processes.ts';
import { describeError, EXIT, exitCodeOf } from './exit-code.ts';
import { stopSignal } from './stop-signal.ts';

export const DEMO_FOLDER = '.tincan-demo';

/** How long names take to reach the phonebook, at the most. */
const NAMES_MS = 10_000;

/**
 * `tincan demo` on a terminal: a bootstrap node, your daemon and an echo bot with a daemon of its own, all on this
 * machine, and the chat between you and the bot. Nothing runs on when it ends.
 *
 * @returns the exit code
 */
export async function runDemo(): Promise<number> {
  const stopped = stopSignal();
  const lost = new AbortController();
  const signal = AbortSignal.any([stopped, lost.signal]);
  const folder = resolve(DEMO_FOLDER);
  try {
    await using processes = await demoProcesses({
      folder,
      signal,
      onLost: (label, reason) => lost.abort(new Error(`${label} ${reason}`)),
    });
    process.stdout.write('Starting a bootstrap node, your daemon and an echo bot on this machine …\n');
    const bootstrap = await startBootstrap(processes, folder);
    await Promise.all([
      startDaemon(processes, folder, 'you', bootstrap),
      startDaemon(processes, folder, 'echo', bootstrap),
    ]);
    await processes.start('the echo bot', ['echo-bot', '--data-dir', join(folder, 'echo')]);
    const client = findDaemon(join(folder, 'you'));
    await befriend(client, 'echo', signal);
    client.close();
    process.stdout.write(
      `You are "you"; "echo" answers every line with itself. Everything is under ${DEMO_FOLDER}/.\n\n`,
    );
    const code = await runChat({ dataDir: join(folder, 'you'), who: 'echo', signal });
    lost.signal.throwIfAborted();
    return code;
  } catch (error) {
    if (stopped.aborted && !lost.signal.aborted) return EXIT.ok;
    process.stderr.write(`tincan demo: ${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

/** Starts a bootstrap node on loopback and returns the multiaddr to give to daemons. */
export async function startBootstrap(processes: DemoProcesses, folder: string): Promise<string> {
  return (await bootstrapProcess(processes, folder)).multiaddr;
}

export async function bootstrapProcess(processes: DemoProcesses, folder: string) {
  const program = await processes.start('the bootstrap node', [
    'bootstrap',
    `--data-dir=${join(folder, 'bootstrap')}`,
    '--listen=/ip4/127.0.0.1/tcp/0',
    '--http=127.0.0.1:0',
    '--log-level=error',
  ]);
  const { multiaddrs, peerId } = program.ready;
  const multiaddr = multiaddrs[0];
  if (multiaddr === undefined) throw new Error('the bootstrap node listens nowhere');
  return { program, multiaddr: multiaddr.includes('/p2p/') ? multiaddr : `${multiaddr}/p2p/${peerId}` };
}

/** Starts a daemon on loopback; its data directory and the name it claims are `name`. */
export async function startDaemon(
  processes: DemoProcesses,
  folder: string,
  name: string,
  bootstrap: string,
  more: readonly string[] = ['--name', name],
) {
  return processes.start(`the daemon of ${name}`, [
    'daemon',
    `--data-dir=${join(folder, name)}`,
    `--bootstrap=${bootstrap}`,
    '--listen=/ip4/127.0.0.1/tcp/0',
    '--no-passphrase',
    '--log-level=error',
    ...more,
  ]);
}

/** Adds and connects to somebody, as soon as the phonebook knows the name. */
async function befriend(client: ControlClient, who: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + NAMES_MS;
  for (;;) {
    try {
      await client.call('addContact', { who }, { signal });
      break;
    } catch (error) {
      if (error instanceof ControlError && error.code === 'conflict') break;
      if (!(error instanceof ControlError && error.code === 'not-found') || Date.now() > deadline)
        throw error;
      await delay(100, undefined, { signal });
    }
  }
  await client.call('connect', { who }, { signal });
}
