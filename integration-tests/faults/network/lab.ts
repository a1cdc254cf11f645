import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { runCommand } from '../../harness/command.ts';
import type { Place } from '../../harness/town.ts';
import { routerRules } from './router-rules.ts';
import type { HostWeather } from './router-rules.ts';

/** Hosts in network namespaces of their own, and a router between them that can be told to misbehave. */
export interface Lab extends AsyncDisposable {
  /** Whether this machine can also make packets late (netem, a module that some kernels are built without). */
  readonly delays: boolean;
  /** A host of its own for a program. */
  place(label: string): Promise<Place>;
  /** Packets from one to the other vanish, and those back too unless `oneWay`. Returns what lifts just this. */
  partition(from: string, to: string, options?: { oneWay?: boolean }): Promise<() => Promise<void>>;
  /** What becomes of packets to and from a host, from now on. */
  weather(label: string, weather: HostWeather): Promise<void>;
  /** Fair weather for all, no partitions. */
  heal(): Promise<void>;
  /** Fetches from a program's HTTP server, which nobody outside its host can reach. */
  fetchText(label: string, url: string): Promise<string>;
}

/** The tools that it takes, and the Debian packages that have them. */
const TOOLS = { unshare: 'util-linux', nsenter: 'util-linux', ip: 'iproute2', nft: 'nftables' };

/** Where hosts live: 10.90.N.2, and the router beside each at 10.90.N.1. Private, as far as libp2p is concerned. */
const PREFIX = '10.90';
const MAX_HOSTS = 250;

/** Each host's own. */
const LISTEN_PORT = 4001;

/** Where a user's search path may lack the tools. */
const ENV = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

interface Host {
  namespace: string;
  address: string;
  /** The router's end of its cable. */
  device: string;
}

/**
 * Opens a lab. All of it lives in a mount and a network namespace that one process holds, so that nothing of it is seen
 * outside and nothing stays behind, however this process ends. Not being root will do where users may make namespaces.
 *
 * @param signal ends it
 * @returns what this machine lacks, for a test to say that it was left out
 */
export async function openLab({ signal }: { signal: AbortSignal }): Promise<Lab | { missing: string }> {
  if (process.platform !== 'linux') return { missing: 'network namespaces are Linux only' };
  for (const [tool, of] of Object.entries(TOOLS)) {
    const found = await runCommand([tool, '-V'], { signal, env: ENV }).catch(() => undefined);
    if (found === undefined) return { missing: `${tool} (${of}) is not installed` };
  }
  const holder = await hold(signal);
  if ('missing' in holder) return holder;
  const inside = (script: string): Promise<void> => run([...holder.enter, 'sh', '-ec', script], '', signal);
  const inHost = (namespace: string): string[] => [
    ...holder.enter,
    'nsenter',
    `--net=/run/netns/${namespace}`,
    '--',
  ];

  const hosts = new Map<string, Host>();
  const cuts = new Set<{ from: string; to: string }>();
  const weathers = new Map<string, HostWeather>();

  let applied = Promise.resolve();
  /** One after the other, each with what is to be by then: faults come at the same time. */
  const applyRules = (): Promise<void> => {
    const apply = async (): Promise<void> => {
      const rules = routerRules(
        [...cuts],
        Array.from(weathers, ([address, weather]) => ({ address, ...weather })),
      );
      await run([...inHost('router'), 'nft', '-f', '-'], rules, signal);
    };
    const next = applied.then(apply);
    applied = next.catch(() => undefined);
    return next;
  };
  const hostOf = (label: string): Host => {
    const host = hosts.get(label);
    if (host === undefined) throw new Error(`there is no host for ${label} in this lab`);
    return host;
  };

  let delays = false;
  try {
    await inside(`
      ip netns add router
      ip -n router link set lo up
      nsenter --net=/run/netns/router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'`);
    await applyRules();
    delays = await inside('tc -n router qdisc add dev lo root netem delay 1ms').then(
      () => true,
      () => false,
    );
  } catch (error) {
    await holder.end();
    return { missing: `a network of namespaces can't be made here: ${(error as Error).message}` };
  }

  return {
    delays,

    async place(label) {
      if (hosts.has(label)) throw new Error(`there is a host for ${label} already`);
      const number = hosts.size + 1;
      if (number > MAX_HOSTS) throw new Error(`a lab has no room for more than ${MAX_HOSTS} hosts`);
      const [namespace, device, net] = [`host${number}`, `cable${number}`, `${PREFIX}.${number}`];
      const address = `${net}.2`;
      hosts.set(label, { namespace, address, device });
      await inside(`
        ip netns add ${namespace}
        ip -n router link add ${device} type veth peer name eth0 netns ${namespace}
        ip -n router addr add ${net}.1/24 dev ${device}
        ip -n router link set ${device} up
        ip -n ${namespace} addr add ${address}/24 dev eth0
        ip -n ${namespace} link set eth0 up
        ip -n ${namespace} link set lo up
        ip -n ${namespace} route add default via ${net}.1`);
      return {
        prefix: inHost(namespace),
        listen: `/ip4/${address}/tcp/${LISTEN_PORT}`,
        httpHost: '127.0.0.1',
      };
    },

    async partition(from, to, { oneWay = false } = {}) {
      const [one, other] = [hostOf(from).address, hostOf(to).address];
      const made = [{ from: one, to: other }];
      if (!oneWay) made.push({ from: other, to: one });
      for (const cut of made) cuts.add(cut);
      await applyRules();
      return async () => {
        for (const cut of made) cuts.delete(cut);
        await applyRules();
      };
    },

    async weather(label, weather) {
      const { address, device } = hostOf(label);
      weathers.set(address, weather);
      await applyRules();
      const { delayMs = 0, jitterMs = 0 } = weather;
      if (delays)
        await inside(`tc -n router qdisc replace dev ${device} root netem delay ${delayMs}ms ${jitterMs}ms`);
    },

    async heal() {
      cuts.clear();
      weathers.clear();
      await applyRules();
      if (!delays) return;
      const undo = Array.from(
        hosts.values(),
        ({ device }) => `tc -n router qdisc replace dev ${device} root pfifo`,
      );
      await inside(undo.join('\n'));
    },

    async fetchText(label, url) {
      const script = 'process.stdout.write(await (await fetch(process.argv[1])).text())';
      const command = [process.execPath, '--input-type=module', '--eval', script, url];
      return output([...inHost(hostOf(label).namespace), ...command], '', signal);
    },

    [Symbol.asyncDispose]: () => holder.end(),
  };
}

interface Holder {
  /** Put before a command to run it in the lab. */
  enter: string[];
  end(): Promise<void>;
}

/** Starts the process that the lab lives and dies with. It ends by itself when this one does. */
async function hold(signal: AbortSignal): Promise<Holder | { missing: string }> {
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  // A folder of its own for the names of namespaces: the system's is not ours.
  const script = 'mount -t tmpfs lab /run && echo held && exec cat';
  const child = spawn('unshare', [...asUser, '--net', '--mount', '--', 'sh', '-ec', script], {
    env: ENV,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = once(child, 'close');
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdin.on('error', () => undefined);
  const held = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(() => true),
    exited.then(() => false),
  ]);
  if (!held) return { missing: `network namespaces may not be made here: ${said.trim()}` };
  const kill = (): boolean => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  const user = asUser.length === 0 ? [] : ['--user', '--preserve-credentials'];
  return {
    enter: ['nsenter', `--target=${child.pid}`, ...user, '--mount', '--net', '--'],
    async end() {
      signal.removeEventListener('abort', kill);
      kill();
      await exited;
    },
  };
}

async function output(command: readonly string[], input: string, signal: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, { signal, input, env: ENV });
  if (code !== 0) throw new Error(stderr.trim() || `${command.join(' ')}: exit code ${code}`);
  return stdout;
}

async function run(command: readonly string[], input: string, signal: AbortSignal): Promise<void> {
  await output(command, input, signal);
}
