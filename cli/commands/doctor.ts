import { existsSync, readdirSync } from 'node:fs';
import { parse } from 'smol-toml';
import { resolveConfiguration } from '../configuration.ts';
import type { Configuration } from '../configuration.ts';
import { EXIT } from '../exit-code.ts';
import { askPassphrase, passphraseInit } from '../passphrase.ts';
import { runDoctor } from '../programs.ts';
import type { Diagnosis } from '../programs.ts';
import type { Program, SettingValue } from '../settings.ts';
import { stopSignal } from '../stop-signal.ts';

export interface DoctorFlags {
  repair: boolean;
  startEmpty: boolean;
  json: boolean;
}

/** Whether a store is there, or what a repair left of it. */
function hasStore(dataDir: string, file: string): boolean {
  return (
    existsSync(dataDir) && readdirSync(dataDir).some((name) => name === file || name.startsWith(`${file}.`))
  );
}

/** The data directory that is meant, and whose it is: what is in it says so. */
function findDataDir(flags: Map<string, SettingValue>): {
  program: Program;
  dataDir: string;
  settings: Configuration['settings'];
} {
  const errors: unknown[] = [];
  const found: Configuration[] = [];
  for (const program of ['daemon', 'bootstrap'] as const) {
    try {
      // Each has its own default, and keys of `config.toml` that the other doesn't know.
      found.push(resolveConfiguration({ program, flags, env: process.env, parseToml: parse }));
    } catch (error) {
      errors.push(error);
    }
  }
  if (found.length === 0) throw errors[0];
  for (const { dataDir, settings } of found) {
    if (hasStore(dataDir, 'daemon.db')) return { program: 'daemon', dataDir, settings };
    if (hasStore(dataDir, 'bootstrap.db')) return { program: 'bootstrap', dataDir, settings };
  }
  const { dataDir, settings } = found.find(({ dataDir }) => existsSync(dataDir)) ?? found[0]!;
  return { program: 'daemon', dataDir, settings };
}

/** `tincan doctor`: looks over a data directory that no program runs on. */
export async function run(
  flags: Map<string, SettingValue>,
  { repair, startEmpty, json }: DoctorFlags,
): Promise<number> {
  const { program, dataDir, settings } = findDataDir(flags);
  if (!existsSync(dataDir)) {
    process.stderr.write(
      `tincan doctor: there is no data directory ${dataDir}; pick another with --data-dir\n`,
    );
    return EXIT.notFound;
  }
  const signal = stopSignal();
  const diagnosis = await runDoctor(program, dataDir, { repair, startEmpty, nowMs: Date.now() }, (state) =>
    askPassphrase(state, passphraseInit({ settings }, { signal })),
  );
  process.stdout.write(json ? `${JSON.stringify(diagnosis)}\n` : reportText(diagnosis));
  return diagnosis.ok ? EXIT.ok : EXIT.failed;
}

function reportText({ checks, repair, ok }: Diagnosis): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ ok, name, detail, todo }) => [
    `${ok ? '✔' : '✖'} ${name.padEnd(width)}  ${detail}`,
    ...(todo === null ? [] : [`${' '.repeat(width + 4)}to do: ${todo}`]),
  ]);
  if (repair !== null) {
    lines.push(
      '',
      `Repaired: ${repair.rows.toLocaleString('en-GB')} rows were saved.`,
      repair.lost.length === 0 ? 'Nothing is lost.' : 'Lost:',
      ...repair.lost.map((line) => `  ${line}`),
      `The damaged store is kept as ${repair.damaged}; remove it when you miss nothing.`,
    );
  }
  lines.push('', ok ? 'All is well.' : 'Something is wrong: see above.');
  return `${lines.join('\n')}\n`;
}
