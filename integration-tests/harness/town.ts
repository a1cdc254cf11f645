import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { befriend, daemonOf } from './daemon.ts';
import type { Daemon } from './daemon.ts';
import { program } from './program.ts';
import type { Program, ProgramInit, Ready } from './program.ts';

export interface Bootstrap {
  /** After a restart it has the same addresses. */
  program: Program;
  dataDir: string;
  /** To hand to daemons. */
  multiaddr: string;
}

/** Where in a network a program runs, and how others reach it. */
export interface Place {
  /** Put before its command. */
  prefix: readonly string[];
  /** Multiaddr to listen on. */
  listen: string;
  /** What others are told instead, where they have to come another way. */
  announce?: string;
  /** Host of its HTTP server. */
  httpHost: string;
}

export interface ProgramOptions {
  /** Added at the end. */
  args?: readonly string[];
  /** Loopback unless said. */
  place?: Place;
  env?: NodeJS.ProcessEnv;
  /** Lets it be told to fail from inside. */
  hook?: boolean;
}

export interface DaemonOptions extends ProgramOptions {
  name?: string;
  bootstrap?: readonly (Bootstrap | string)[];
  /** Of the data directory. None unless given. */
  passphrase?: string;
  dataDir?: string;
  /** Whether the others of the town are contacts from the start, and it is one of theirs. Yes unless said. */
  friends?: boolean;
}

/** Programs that belong to one test: disposing of it kills them all and removes their data. */
export interface Town extends AsyncDisposable {
  folder: string;
  signal: AbortSignal;
  bootstrap(options?: ProgramOptions): Promise<Bootstrap>;
  /** `label` names it in logs and names its data directory. */
  daemon(label: string, options?: DaemonOptions): Promise<Daemon>;
  /** What all of them have said. */
  logs(): string;
  /** Error lines of their logs, each with whose it is. */
  errors(): string[];
}

const LOOPBACK: Place = { prefix: [], listen: '/ip4/127.0.0.1/tcp/0', httpHost: '127.0.0.1' };

/** @param signal ends what the town's members wait for */
export async function openTown({ signal }: { signal: AbortSignal }): Promise<Town> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-'));
  const programs: Program[] = [];
  const daemons: Daemon[] = [];
  const friends: Daemon[] = [];

  const add = (init: ProgramInit): Program => {
    const added = program(init);
    programs.push(added);
    return added;
  };

  return {
    folder,
    signal,

    async bootstrap({ args = [], place = LOOPBACK, env = {}, hook = false } = {}) {
      const dataDir = join(folder, `bootstrap-${programs.length}`);
      const node = add({
        label: `bootstrap node ${programs.length}`,
        prefix: place.prefix,
        env,
        hook,
        args: (before) => [
          'bootstrap',
          `--data-dir=${dataDir}`,
          ...addressArgs(place, before),
          `--http=${before === undefined ? `${place.httpHost}:0` : new URL(before.http).host}`,
          '--log-level=debug',
          ...args,
        ],
      });
      const { peerId, multiaddrs } = await node.start();
      return { program: node, dataDir, multiaddr: `${withoutPeer(multiaddrs[0]!)}/p2p/${peerId}` };
    },

    async daemon(label, options = {}) {
      const { name, bootstrap = [], args = [], dataDir } = options;
      const { place = LOOPBACK, hook = false, passphrase } = options;
      const env =
        passphrase === undefined
          ? options.env
          : { ...options.env, TINCAN_USE_PASSPHRASE: 'true', TINCAN_PASSPHRASE: passphrase };
      const home = dataDir ?? join(folder, label);
      const node = add({
        label: `daemon of ${label}`,
        prefix: place.prefix,
        env: env ?? {},
        hook,
        args: () => [
          'daemon',
          `--data-dir=${home}`,
          ...addressArgs(place, undefined),
          `--http=${place.httpHost}:0`,
          '--log-level=debug',
          ...(name === undefined ? [] : [`--name=${name}`]),
          ...bootstrap.map((node) => `--bootstrap=${typeof node === 'string' ? node : node.multiaddr}`),
          ...args,
        ],
      });
      await node.start();
      const daemon = daemonOf(node, home, signal);
      if (options.friends !== false) {
        // Of two that start at once, the later one makes them friends.
        const others = friends.filter(({ program }) => program.running);
        friends.push(daemon);
        for (const other of others) await befriend(daemon, other);
      }
      daemons.push(daemon);
      return daemon;
    },

    logs() {
      return programs.map(({ label, log }) => `===== ${label}\n${log}`).join('\n');
    },

    errors() {
      return programs.flatMap(({ label, errors }) => errors.map((line) => `${label}: ${line}`));
    },

    async [Symbol.asyncDispose]() {
      for (const daemon of daemons) daemon.release();
      await Promise.all(programs.filter(({ running }) => running).map((it) => it.kill()));
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** After a restart a program listens where it did before, unless what it announced says nothing of that. */
function addressArgs({ listen, announce }: Place, before: Ready | undefined): string[] {
  if (announce !== undefined) return [`--listen=${listen}`, `--announce=${announce}`];
  return (before?.multiaddrs ?? [listen]).map((address) => `--listen=${withoutPeer(address)}`);
}

function withoutPeer(multiaddr: string): string {
  return multiaddr.replace(/\/p2p\/[^/]+$/, '');
}
