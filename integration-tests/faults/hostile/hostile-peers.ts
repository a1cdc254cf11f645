import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { peerIdFromString } from '@libp2p/peer-id';
import { collect } from '../../../protocols/mailbox/collect.ts';
import { signCapability } from '../../../protocols/mailbox/capability.ts';
import { depositor } from '../../../protocols/mailbox/client.ts';
import { MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { phonebookClient } from '../../../protocols/phonebook/client.ts';
import { PHONEBOOK_PROTOCOL } from '../../../protocols/phonebook/protocol.ts';
import { stranger } from '../../harness/stranger.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Bootstrap, Town } from '../../harness/town.ts';

/** What honest people do, and how long each time took, in milliseconds. */
export interface Honest extends AsyncDisposable {
  /** Since the last call: the times of what succeeded. */
  take(): Record<'chat' | 'resolve' | 'deposit', number[]>;
  /** What failed since the last call, by reason. */
  failures(): Map<string, number>;
  /** Texts that were said to be delivered. */
  said: readonly string[];
}

/** Between two of the same: under the limits for one peer, of 600 lookups and 1,024 deposits a minute. */
const PAUSE_MS = { chat: 10, resolve: 110, deposit: 70 };

/** Longer than this, it counts as failed. */
const PATIENCE_MS = 20_000;

const HOUR_MS = 3_600_000;
const BLOB_BYTES = 1_000;

export interface HostileTown {
  bootstrap: Bootstrap;
  ada: Daemon;
  ben: Daemon;
}

/** A bootstrap node and two friends, who have each other as contacts. */
export async function hostileTown(town: Town): Promise<HostileTown> {
  const { signal } = town;
  const args = ['--log-level=warn'];
  const options = { args, hook: true };
  const bootstrap = await town.bootstrap(options);
  const [ada, ben] = await Promise.all(
    ['ada', 'ben'].map((name) => town.daemon(name, { ...options, name, bootstrap: [bootstrap] })),
  );
  await ada!.knows('ben');
  await ben!.knows('ada');
  await ada!.client.call('addContact', { who: ben!.peerId }, { signal });
  await ben!.client.call('addContact', { who: ada!.peerId }, { signal });
  await ada!.send(ben!.peerId, 'good morning', 'delivered');
  await ben!.send(ada!.peerId, 'and to you', 'delivered');
  return { bootstrap, ada: ada!, ben: ben! };
}

/** Friends who chat, somebody who looks them up, and somebody who leaves mail and collects it, until disposed of. */
export async function honestPeers({ bootstrap, ada, ben }: HostileTown): Promise<Honest> {
  const stop = new AbortController();
  const { signal } = stop;
  const somebody = await stranger({ signal });
  const open = (protocol: string) => () => somebody.open(bootstrap.multiaddr, protocol);
  const phonebook = phonebookClient({
    openStream: open(PHONEBOOK_PROTOCOL),
    phonebook: bootstrap.program.ready.peerId,
  });
  const mailbox = depositor({ openStream: open(MAILBOX_PROTOCOL), signal });
  const recipient = peerIdFromString(somebody.peerId);
  // As a friend's deposits come: a stranger would have little room while its mail is not collected.
  const issuedMs = Date.now();
  const capability = await signCapability(somebody.privateKey, {
    depositor: recipient,
    issuedMs,
    expiresMs: issuedMs + 24 * HOUR_MS,
  });
  let times: ReturnType<Honest['take']> = { chat: [], resolve: [], deposit: [] };
  let failed = new Map<string, number>();
  const said: string[] = [];

  const repeat = async (
    what: keyof typeof times,
    once: (late: AbortSignal) => Promise<void>,
  ): Promise<void> => {
    while (!signal.aborted) {
      const start = performance.now();
      try {
        await once(AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
        times[what].push(performance.now() - start);
      } catch (error) {
        if (signal.aborted) return;
        const reason = `${what}: ${(error as Error).message}`;
        failed.set(reason, (failed.get(reason) ?? 0) + 1);
        // What failed took at least so long: a failure must not look like speed.
        times[what].push(Math.max(performance.now() - start, PATIENCE_MS));
      }
      await delay(PAUSE_MS[what], undefined, { signal }).catch(() => undefined);
    }
  };

  const collecting = async (): Promise<void> => {
    while (!signal.aborted) {
      await collect({ openStream: open(MAILBOX_PROTOCOL), onBlobs: async () => undefined, signal }).catch(
        () => undefined,
      );
      await delay(100, undefined, { signal }).catch(() => undefined);
    }
  };

  let number = 0;
  const works = [
    collecting(),
    repeat('chat', async (late) => {
      const text = `line ${number++}`;
      await ada.client.call(
        'send',
        { to: ben.peerId, text, wait: 'delivered', timeoutMs: PATIENCE_MS },
        { signal: late },
      );
      said.push(text);
    }),
    repeat('resolve', async (late) => {
      await phonebook.resolve({ name: 'ben' }, { signal: late });
    }),
    repeat('deposit', async () => {
      const blob = randomBytes(BLOB_BYTES);
      await mailbox.deposit({ recipient, blob, expiresMs: Date.now() + HOUR_MS, capability });
    }),
  ];

  return {
    said,
    take() {
      const taken = times;
      times = { chat: [], resolve: [], deposit: [] };
      return taken;
    },
    failures() {
      const taken = failed;
      failed = new Map();
      return taken;
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the honest go home'));
      await Promise.all(works);
      await somebody[Symbol.asyncDispose]();
    },
  };
}
