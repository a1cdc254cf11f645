import { parse } from 'smol-toml';
import { resolveConfiguration } from '../configuration.ts';
import { table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import type { Program, SettingValue } from '../settings.ts';

/** `tincan config`: the settings a program would start with, and where each comes from. */
export async function run(
  program: Program,
  flags: Map<string, SettingValue>,
  { json }: { json: boolean },
): Promise<number> {
  const { file, fileExists, settings } = resolveConfiguration({
    program,
    flags,
    env: process.env,
    parseToml: parse,
  });
  if (json) {
    const entries = settings.map(({ setting, value, source, origin }) => [
      setting.key,
      { value, source, origin },
    ]);
    const shown = { program, file, fileExists, settings: Object.fromEntries(entries) as unknown };
    process.stdout.write(`${JSON.stringify(shown)}\n`);
    return EXIT.ok;
  }
  const rows = settings.map(({ setting, value, source, origin }) => [
    setting.key,
    value === null ? '-' : JSON.stringify(value),
    source === 'default' ? '' : origin,
  ]);
  process.stdout.write(
    `${[`# ${file}${fileExists ? '' : ' (does not exist)'}`, ...table(rows)].join('\n')}\n`,
  );
  return EXIT.ok;
}
