import { mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ControlClient } from '../protocols/control/client.ts';
import { findDaemon } from './daemon-address.ts';
import { isAbsence } from './daemon-events.ts';
import { bootstrapProcess, DEMO_FOLDER, startDaemon } from './demo.ts';
import { demoProcesses, isAlive } from './demo-processes.ts';
import type { DemoProcess, DemoProcesses } from './demo-processes.ts';
import { describeError, EXIT } from './exit-code.ts';
import { stopSignal } from './stop-signal.ts';

/** How long a step waits for what has to come true. All steps together stay far under 40 s. */
const STEP_MS = 15_000;

/** How often a condition is looked at. */
const LOOK_MS = 25;

/**
 * The scripted tour: the same programs as separate processes, each step with its time.
 *
 * @returns 0 only if every step held
 */
export async function runTour(): Promise<number> {
  const stopped = stopSignal();
  const lost = new AbortController();
  const signal = AbortSignal.any([stopped, lost.signal]);
  const tours = resolve(DEMO_FOLDER);
  const folder = join(tours, `tour-${process.pid}`);
  let current = 'getting ready';
  const begin = performance.now();
  const step = async (title: string, action: () => Promise<string | void>): Promise<void> => {
    current = title;
    const from = performance.now();
    const detail = await action();
    const tookMs = performance.now() - from;
    process.stdout.write(
      `${seconds(performance.now() - begin)}  ok  ${title}  (${tookMs.toFixed(0)} ms${detail === undefined ? '' : `; ${detail}`})\n`,
    );
  };

  try {
    await removeEarlierTours(tours);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    {
      await using processes = await demoProcesses({
        folder,
        signal,
        onLost: (label, reason) => lost.abort(new Error(`${label} ${reason}`)),
      });
      await playTour({ processes, folder, signal, step });
      current = 'everything stops';
    }
    process.stdout.write(`${seconds(performance.now() - begin)}  every step held; nothing is left running\n`);
    await rm(folder, { recursive: true, force: true });
    return EXIT.ok;
  } catch (error) {
    if (stopped.aborted) return 130;
    const reason = lost.signal.aborted ? (lost.signal.reason as unknown) : error;
    process.stdout.write(`${seconds(performance.now() - begin)}  FAILED  ${current}\n`);
    process.stderr.write(
      `tincan demo: step "${current}" failed: ${describeError(reason)}\nWhat it left is in ${folder}\n`,
    );
    return EXIT.failed;
  }
}

interface Tour {
  processes: DemoProcesses;
  folder: string;
  signal: AbortSignal;
  step: (title: string, action: () => Promise<string | void>) => Promise<void>;
}

async function playTour({ processes, folder, signal, step }: Tour): Promise<void> {
  let phonebook: Awaited<ReturnType<typeof bootstrapProcess>> | undefined;
  let benProcess: DemoProcess | undefined;
  let benId = '';
  const clients = new Map<string, ControlClient>();
  const daemon = (name: string): ControlClient => {
    const client = clients.get(name) ?? findDaemon(join(folder, name));
    clients.set(name, client);
    return client;
  };
  /** All that ben ought to have, in order: compared as a whole, so that nothing is lost or comes twice. */
  const toBen: string[] = [];
  const toAda: string[] = [];

  const arrived = async (name: string, texts: readonly string[]): Promise<void> => {
    let got: string[] = [];
    await until(`${name} has ${texts.length} messages`, signal, async () => {
      const { messages } = await daemon(name).call('inbox', {}, { signal });
      got = messages.map(({ text }) => text);
      return got.length >= texts.length;
    });
    if (JSON.stringify(got) !== JSON.stringify(texts)) {
      throw new Error(`${name} has ${JSON.stringify(got)}, not ${JSON.stringify(texts)}`);
    }
  };
  const reached = async (id: string, states: readonly string[]): Promise<void> => {
    let state = 'unknown';
    await until(`a message of ada's is ${states[0]}`, signal, async () => {
      ({ state } = await daemon('ada').call('message', { id }, { signal }));
      return states.includes(state);
    }).catch((error: unknown) => {
      throw new Error(`${describeError(error)}; it is ${state}`, { cause: error });
    });
  };
  const deliver = async (from: string, to: string, text: string): Promise<string> => {
    const { state, failure } = await daemon(from).call(
      'send',
      { to, text, wait: 'delivered', timeoutMs: STEP_MS },
      { signal },
    );
    if (state !== 'delivered' && state !== 'read') {
      throw new Error(
        `${from}'s message is ${state}, not delivered${failure === null ? '' : `: ${failure}`}`,
      );
    }
    return state;
  };

  await step('a phonebook and the daemons of ada and ben start', async () => {
    phonebook = await bootstrapProcess(processes, folder);
    const { multiaddr } = phonebook;
    [, benProcess] = await Promise.all([
      startDaemon(processes, folder, 'ada', multiaddr, []),
      startDaemon(processes, folder, 'ben', multiaddr, []),
    ]);
    benId = benProcess.ready.peerId;
  });

  await step('they claim the names ada and ben', async () => {
    for (const name of ['ada', 'ben']) {
      await until(`${name} has a name`, signal, async () => {
        const identity = await daemon(name).call('claimName', { name }, { signal });
        return identity.name === name;
      });
    }
    const { peerId } = await daemon('ada').call('whois', { who: 'ben' }, { signal });
    if (peerId !== benId) throw new Error(`ben is ${peerId}, not ${benId}`);
  });

  await step('ada writes to ben, ben accepts her and answers, both delivered live', async () => {
    toBen.push('Hello Ben, can you hear me?');
    toAda.push('Loud and clear, Ada.');
    await deliver('ada', 'ben', toBen[0]!);
    await until('ben is asked', signal, async () => {
      const { requests } = await daemon('ben').call('requests', {}, { signal });
      return requests.length === 1;
    });
    await daemon('ben').call('accept', { who: 'ada' }, { signal });
    await arrived('ben', toBen);
    await deliver('ben', 'ada', toAda[0]!);
    await arrived('ada', toAda);
  });

  await step("ben's daemon is killed with SIGKILL", async () => {
    await benProcess?.kill();
    clients.get('ben')?.close();
    clients.delete('ben');
  });

  const waiting: string[] = [];
  await step('three messages to ben are stored in his mailbox', async () => {
    for (const text of ['Ben?', 'Are you there?', 'I leave you a note.']) {
      const { id } = await daemon('ada').call('send', { to: 'ben', text }, { signal });
      waiting.push(id);
      toBen.push(text);
    }
    for (const id of waiting) await reached(id, ['stored']);
  });

  await step('ben comes back and has all three, in order, once', async () => {
    benProcess = await startDaemon(processes, folder, 'ben', phonebook!.multiaddr, []);
    await arrived('ben', toBen);
  });

  await step('ada sees all three delivered', async () => {
    for (const id of waiting) await reached(id, ['delivered', 'read']);
  });

  await step('the phonebook is stopped', async () => {
    const code = await phonebook?.program.stop();
    if (code !== EXIT.ok) throw new Error(`it ended with code ${code}, not 0`);
  });

  await step('a new message still arrives, directly', async () => {
    toBen.push('Who needs a phonebook?');
    await deliver('ada', 'ben', toBen.at(-1)!);
    await arrived('ben', toBen);
  });

  await step('the name ben still resolves', async () => {
    const { peerId, source } = await daemon('ada').call('whois', { who: 'ben' }, { signal });
    if (peerId !== benId) throw new Error(`ben is ${peerId}, not ${benId}`);
    return `known from: ${source}`;
  });
  for (const client of clients.values()) client.close();
}

/** Looks until something is true; a daemon that does not answer yet is no failure. */
async function until(what: string, signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + STEP_MS;
  for (;;) {
    let last: unknown;
    try {
      if (await check()) return;
    } catch (error) {
      if (!isAbsence(error)) throw error;
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(
        `waited ${STEP_MS / 1000} s until ${what}${last === undefined ? '' : `: ${describeError(last)}`}`,
      );
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}

/** Folders of tours that were killed; those of tours that still run stay. */
async function removeEarlierTours(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const pid = /^tour-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(5)} s`;
}
