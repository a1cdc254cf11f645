import { randomFrom } from '../../harness/random.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Place, ProgramOptions, Town } from '../../harness/town.ts';
import { openLab } from '../network/lab.ts';
import { proxiedPlace } from '../network/proxied-place.ts';
import type { FaultProxy } from '../network/proxy.ts';
import type { Stage, Victim } from './kind.ts';
import { drawSeed, PEOPLE } from './schedule.ts';
import type { Schedule } from './schedule.ts';

/** Opens the programs of an episode in its kind of network: everybody has a name and the others as friends. */
export async function openStage(
  { seed, network }: Pick<Schedule, 'seed' | 'network'>,
  { town, signal }: { town: Town; signal: AbortSignal },
): Promise<(Stage & AsyncDisposable) | { missing: string }> {
  await using stack = new AsyncDisposableStack();
  const random = randomFrom(seed);
  const proxies = new Map<Victim, FaultProxy>();

  const lab = network === 'lab' ? await openLab({ signal }) : undefined;
  if (lab !== undefined && 'missing' in lab) return lab;
  if (lab !== undefined) stack.use(lab);

  const placeFor = async (label: Victim): Promise<Place | undefined> => {
    if (lab !== undefined) return lab.place(label);
    if (network !== 'proxies') return undefined;
    const { place, proxy } = await proxiedPlace({ label, random: randomFrom(drawSeed(random)), signal });
    proxies.set(label, stack.use(proxy));
    return place;
  };
  const optionsFor = async (label: Victim): Promise<ProgramOptions> => {
    const place = await placeFor(label);
    return { hook: true, args: ['--log-level=info'], ...(place !== undefined && { place }) };
  };

  const bootstrap = await town.bootstrap(await optionsFor('bootstrap'));
  const people = new Map<string, Daemon>();
  for (const label of PEOPLE) {
    const options = await optionsFor(label);
    people.set(label, await town.daemon(label, { ...options, name: label, bootstrap: [bootstrap] }));
  }
  await Promise.all(
    [...people].flatMap(([who, daemon]) =>
      [...people.keys()]
        .filter((other) => other !== who)
        .map(async (other) => {
          await daemon.knows(other);
          await daemon.client.call('addContact', { who: other }, { signal });
        }),
    ),
  );

  const reviving = new Map<Victim, Promise<unknown>>();
  const programOf = (victim: Victim) => (victim === 'bootstrap' ? bootstrap : people.get(victim)!).program;
  const opened = stack.move();
  return {
    town,
    people,
    bootstrap,
    proxies,
    lab,
    random,
    signal,
    async revive(victim) {
      const { running } = programOf(victim);
      if (!reviving.has(victim) && running) return;
      const started = reviving.get(victim) ?? programOf(victim).start();
      reviving.set(victim, started);
      try {
        await started;
      } finally {
        reviving.delete(victim);
      }
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
