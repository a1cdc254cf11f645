import type { Configuration, Resolved } from './configuration.ts';
import { UsageError } from './exit-code.ts';
import { exampleOf, propertyOf } from './settings.ts';
import type { Program, Setting } from './settings.ts';
import type { KeyState } from './passphrase.ts';
import { readVersion } from './version.ts';

/** What a program says when it is ready. */
export interface Ready {
  peerId: string;
  multiaddrs: string[];
  http: string;
}

export interface RunOptions {
  signal: AbortSignal;
  onReady: (ready: Ready) => void;
  /** Of a daemon's data directory; null for none. */
  askPassphrase: (state: KeyState) => Promise<string | null>;
}

/**
 * Loads a program and runs it until the signal fires. Here alone the command reaches into `node` and
 * `bootstrap`, so that client commands never load libp2p.
 *
 * @throws {UsageError} when a multiaddr is none, before anything starts
 */
export async function runProgram(
  program: Program,
  configuration: Configuration,
  options: RunOptions,
): Promise<void> {
  await checkMultiaddrs(configuration.settings);
  const config: Record<string, unknown> = {};
  for (const { setting, value } of configuration.settings) {
    if (value !== null && !isPassphrase(setting)) config[propertyOf(setting)] = value;
  }
  if (program === 'daemon') {
    const { runDaemon } = await import('../node/main.ts');
    await runDaemon(config as unknown as Parameters<typeof runDaemon>[0], {
      ...options,
      version: readVersion(),
    });
  } else {
    const { runBootstrap } = await import('../bootstrap/main.ts');
    await runBootstrap(config as unknown as Parameters<typeof runBootstrap>[0], options);
  }
}

/** What is only for `askPassphrase`. */
function isPassphrase({ key }: Setting): boolean {
  return key === 'passphrase' || key === 'passphrase_file';
}

async function checkMultiaddrs(settings: readonly Resolved[]): Promise<void> {
  const { multiaddr } = await import('@multiformats/multiaddr');
  for (const { setting, value, origin } of settings) {
    const { shape } = setting;
    if (shape !== 'multiaddr' && shape !== 'peer-multiaddr') continue;
    for (const text of value as string[]) {
      let names: string[];
      try {
        names = multiaddr(text)
          .getComponents()
          .map(({ name }) => name);
      } catch (error) {
        throw new UsageError(
          `${origin}: ${JSON.stringify(text)} is no multiaddr (${(error as Error).message}); a good one looks like ${exampleOf(shape)}`,
        );
      }
      if (shape === 'peer-multiaddr' && !names.includes('p2p')) {
        throw new UsageError(
          `${origin}: ${text} does not say who is there; a good one ends in the node's peer id, like ${exampleOf(shape)}`,
        );
      }
    }
  }
}

/** What `tincan doctor` found. */
export interface Diagnosis {
  store: string;
  checks: { ok: boolean; name: string; detail: string; todo: string | null }[];
  repair: { damaged: string; rows: number; lost: string[] } | null;
  ok: boolean;
}

/** Looks over a program's data directory, without running the program. */
export async function runDoctor(
  program: Program,
  dataDir: string,
  options: { repair: boolean; startEmpty: boolean; nowMs: number },
  askPassphrase: RunOptions['askPassphrase'],
): Promise<Diagnosis> {
  if (program === 'daemon') {
    const { examineDaemon } = await import('../node/doctor.ts');
    return examineDaemon(dataDir, options, askPassphrase);
  }
  const { examineBootstrap } = await import('../bootstrap/doctor.ts');
  return examineBootstrap(dataDir, options);
}

/** What is known of a data directory's key without a passphrase. */
export async function keyStateOf(dataDir: string): Promise<KeyState> {
  const { keyStateOf } = await import('../node/at-rest/key-file.ts');
  return keyStateOf(dataDir);
}

/** Wraps the data key anew; null stands for no passphrase. */
export async function changePassphrase(
  dataDir: string,
  from: string | null,
  to: string | null,
): Promise<void> {
  const { changePassphrase } = await import('../node/at-rest/key-file.ts');
  changePassphrase(dataDir, from, to);
}

/** What a backup has become. */
export interface BackupMade {
  file: string;
  peerId: string;
  madeAt: string;
  bytes: number;
}

/** Makes a backup of a data directory on which no daemon runs. */
export async function backUpStopped(
  dataDir: string,
  request: { file: string; force: boolean },
  passphrases: { ofBackup: () => Promise<string>; ofDataDir: RunOptions['askPassphrase'] },
  options: { signal: AbortSignal },
): Promise<BackupMade> {
  const { backUpStopped } = await import('../node/backup/stopped.ts');
  const { file, peerId, madeMs, bytes } = await backUpStopped(dataDir, request, passphrases, options);
  return { file, peerId, madeAt: new Date(madeMs).toISOString(), bytes };
}

/** A backup whose passphrase was right. */
export interface OpenBackup {
  /** Makes the data directory of it; null stands for no passphrase. */
  restore(passphrase: string | null): { peerId: string; madeMs: number };
  close(): void;
}

/** Opens a backup to restore it to a data directory; the passphrase is asked for if it could be of use. */
export async function openBackup(
  file: string,
  dataDir: string,
  askPassphrase: () => Promise<string>,
): Promise<OpenBackup> {
  const { openBackup } = await import('../node/backup/restoring.ts');
  return openBackup(file, dataDir, askPassphrase);
}
