import { Option } from 'commander';
import type { Command } from 'commander';
import { flagOf, propertyOf, settingsOf } from './settings.ts';
import type { Program, Setting, SettingValue } from './settings.ts';

/** Gives a command a flag for each setting of a program. `--data-dir` and `--config` every command has. */
export function addSettingOptions(command: Command, program: Program): Command {
  for (const setting of settingsOf(program)) {
    if (setting.key === 'data_dir') continue;
    for (const option of optionsOf(setting, program)) command.addOption(option);
  }
  return command.addHelpText(
    'after',
    `
Each flag is also a key of config.toml in the data directory (or the file named with --config), with underscores:
${flagOf({ key: 'log_level' })} is log_level. Flags win over environment variables, these over the file.
The data directory is ${String(defaultDataDir(program))} unless --data-dir or TINCAN_HOME says otherwise.`,
  );
}

function defaultDataDir(program: Program): SettingValue | null | undefined {
  return settingsOf(program).find(({ key }) => key === 'data_dir')?.defaults[program];
}

function optionsOf(setting: Setting, program: Program): Option[] {
  const { type, placeholder, choices, env, help } = setting;
  const flag = flagOf(setting);
  const value = setting.defaults[program];
  const shown = value === null || value === undefined || (Array.isArray(value) && value.length === 0);
  const described = (text: string): string =>
    `${text} (${env}${shown || type === 'switch' ? '' : `, default ${String(value)}`})`;

  switch (type) {
    case 'switch': {
      // Both, so that a flag can win over the file; the one that says what is so anyway is not shown.
      const on = new Option(flag, described(help)).hideHelp(value === true);
      const off = new Option(flag.replace('--', '--no-'), described(`don't ${help}`)).hideHelp(
        value !== true,
      );
      return [on, off];
    }
    case 'list':
      return [
        new Option(`${flag} <${placeholder}>`, described(help)).argParser(
          (text, previous: string[] | undefined) => [...(previous ?? []), text],
        ),
      ];
    case 'number':
      return [
        new Option(`${flag} <${placeholder}>`, described(help)).argParser((text) =>
          /^\d+$/.test(text) ? Number(text) : text,
        ),
      ];
    case 'choice':
      return [new Option(`${flag} <${(choices ?? []).join('|')}>`, described(help))];
    case 'text':
      return [new Option(`${flag} <${placeholder}>`, described(help))];
  }
}

/** The settings that were given as flags, by key; `config` is among them. */
export function givenFlags(command: Command, program: Program): Map<string, SettingValue> {
  const flags = new Map<string, SettingValue>();
  for (const setting of [...settingsOf(program), { key: 'config' }]) {
    const property = propertyOf(setting);
    if (command.getOptionValueSourceWithGlobals(property) !== 'cli') continue;
    flags.set(setting.key, command.optsWithGlobals<Record<string, SettingValue>>()[property]!);
  }
  return flags;
}
