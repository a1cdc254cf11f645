import { parse } from 'smol-toml';
import { resolveConfiguration } from '../configuration.ts';
import type { Configuration } from '../configuration.ts';
import { describeError, exitCodeOf, EXIT } from '../exit-code.ts';
import { askPassphrase, passphraseInit } from '../passphrase.ts';
import { runProgram } from '../programs.ts';
import type { Ready } from '../programs.ts';
import type { Program, SettingValue } from '../settings.ts';
import { stopSignal } from '../stop-signal.ts';

/** The programs promise to be gone 3 s after they are told to stop; this leaves some for the exit itself. */
const STOP_GRACE_MS = 2800;

/** What is still being written to standard output or error after the stop has this long. */
const FLUSH_MS = 100;

/** `tincan daemon` and `tincan bootstrap`: runs the program in the foreground until it is told to stop. */
export async function run(
  program: Program,
  flags: Map<string, SettingValue>,
  { json }: { json: boolean },
): Promise<number> {
  const configuration = resolveConfiguration({ program, flags, env: process.env, parseToml: parse });
  const signal = stopSignal({ graceMs: STOP_GRACE_MS });
  try {
    await runProgram(program, configuration, {
      signal,
      onReady: (ready) => {
        process.stdout.write(json ? readyJson(ready) : readyText(program, ready, configuration));
      },
      askPassphrase: (state) => askPassphrase(state, passphraseInit(configuration, { signal })),
    });
    return EXIT.ok;
  } catch (error) {
    if (signal.aborted) return EXIT.ok;
    const held = (error as { code?: unknown }).code === 'held';
    const message = held
      ? `another tincan process has ${configuration.dataDir}; stop it, or pick another with --data-dir`
      : describeError(error);
    process.stderr.write(`tincan ${program}: ${message}\n`);
    const logLevel = configuration.settings.find(({ setting }) => setting.key === 'log_level')?.value;
    if (logLevel === 'debug' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return exitCodeOf(error);
  } finally {
    // libp2p 3.3 leaves timers of up to two seconds behind when it has stopped; nothing of ours is waiting any more.
    setTimeout(() => process.exit(), FLUSH_MS).unref();
  }
}

function readyJson({ peerId, multiaddrs, http }: Ready): string {
  return `${JSON.stringify({ ready: true, peerId, multiaddrs, http })}\n`;
}

function readyText(
  program: Program,
  { peerId, multiaddrs, http }: Ready,
  { dataDir, settings }: Configuration,
): string {
  const lines = [
    program === 'daemon' ? `Your node is up: ${peerId}` : `The bootstrap node is up: ${peerId}`,
    ...multiaddrs.map((address) => `  reachable at ${address}`),
    `  HTTP at ${http}`,
    `  data in ${dataDir}`,
    '',
  ];
  if (program === 'daemon') {
    const hasName = settings.some(({ setting, value }) => setting.key === 'name' && value !== null);
    lines.push(
      'Next, in another terminal:',
      ...(hasName ? [] : ['  tincan name claim NAME   take a name']),
      '  tincan add NAME          add a friend, by name or invite',
      '  tincan invite            make an invite for a friend',
      '  tincan chat NAME         talk',
    );
  } else {
    lines.push(
      'Next, on the machine of each person:',
      `  tincan daemon --bootstrap ${multiaddrs[0] ?? 'MULTIADDR'}`,
    );
  }
  lines.push('', 'Ctrl-C stops it.', '');
  return lines.join('\n');
}
