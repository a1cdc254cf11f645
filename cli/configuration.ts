import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UsageError } from './exit-code.ts';
import { expectedBy, flagOf, SETTINGS, settingsOf } from './settings.ts';
import type { Program, Setting, SettingValue } from './settings.ts';

/** A setting's value and where it came from. */
export interface Resolved {
  setting: Setting;
  /** Null where there is no value and no default. */
  value: SettingValue | null;
  source: 'flag' | 'environment' | 'file' | 'default';
  /** The flag, the variable, or the file with its key. */
  origin: string;
}

export interface Configuration {
  dataDir: string;
  /** The file that was read, or the one that would be. */
  file: string;
  fileExists: boolean;
  settings: Resolved[];
}

export interface ConfigurationInit {
  program: Program;
  /** Flags as given, by the setting's key; `config` names the file. */
  flags: ReadonlyMap<string, SettingValue>;
  env: NodeJS.ProcessEnv;
  /** Where the home directory is, for `~`. */
  home?: string;
  parseToml: (text: string) => Record<string, unknown>;
}

/**
 * Puts a program's settings together: flags win over the environment, the environment over the file, the file over the
 * defaults.
 *
 * @throws {UsageError} naming the flag, variable, or file and key that is wrong, and what is expected there
 */
export function resolveConfiguration(init: ConfigurationInit): Configuration {
  const { program, flags, env } = init;
  const home = init.home ?? homedir();
  const named = flags.get('config') ?? env['TINCAN_CONFIG'];
  const dataDirSetting = settingsOf(program).find(({ key }) => key === 'data_dir')!;

  let table: Record<string, unknown> = {};
  let file: string | undefined;
  let fileExists = false;
  if (typeof named === 'string' && named !== '') {
    file = expandPath(named, home, process.cwd());
    table = readTable(file, program, init.parseToml) ?? fail(`there is no configuration file ${file}`);
    fileExists = true;
  }
  const dataDirFound = resolveSetting(dataDirSetting, program, flags, env, table, file ?? '');
  const dataDir = expandPath(
    String(dataDirFound.value),
    home,
    dataDirFound.source === 'file' && file !== undefined ? dirname(file) : process.cwd(),
  );
  if (file === undefined) {
    file = join(dataDir, 'config.toml');
    const found = readTable(file, program, init.parseToml);
    fileExists = found !== undefined;
    table = found ?? {};
    if ('data_dir' in table) {
      fail(
        `${file}: data_dir can't stand in a file inside the data directory; use --data-dir or TINCAN_HOME`,
      );
    }
  }

  const settings = settingsOf(program).map((setting) =>
    setting.key === 'data_dir'
      ? { ...dataDirFound, value: dataDir }
      : resolveSetting(setting, program, flags, env, table, file),
  );
  return { dataDir, file, fileExists, settings };
}

function resolveSetting(
  setting: Setting,
  program: Program,
  flags: ReadonlyMap<string, SettingValue>,
  env: NodeJS.ProcessEnv,
  table: Record<string, unknown>,
  file: string,
): Resolved {
  const { key } = setting;
  const flag = flags.get(key);
  if (flag !== undefined) {
    const origin = flagOf(setting);
    return { setting, value: typedValue(setting, flag, origin), source: 'flag', origin };
  }
  const variable = env[setting.env];
  if (variable !== undefined && variable !== '') {
    const value = typedValue(setting, parseVariable(setting, variable), setting.env);
    return { setting, value, source: 'environment', origin: setting.env };
  }
  const entry = table[key];
  if (entry !== undefined) {
    const origin = `${file}: ${key}`;
    return { setting, value: typedValue(setting, entry, origin), source: 'file', origin };
  }
  return { setting, value: setting.defaults[program] ?? null, source: 'default', origin: 'default' };
}

/** Environment variables are text: lists are separated by blanks or commas. */
function parseVariable({ type }: Setting, text: string): unknown {
  switch (type) {
    case 'list':
      return text.split(/[\s,]+/).filter((item) => item !== '');
    case 'switch':
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      if (/^(0|false|no|off)$/i.test(text)) return false;
      return text;
    case 'number':
      return /^\d+$/.test(text) ? Number(text) : text;
    default:
      return text;
  }
}

function typedValue(setting: Setting, value: unknown, origin: string): SettingValue {
  if (fits(setting, value)) return value as SettingValue;
  return fail(`${origin} is ${JSON.stringify(value)}; expected ${expectedBy(setting)}`);
}

function fits({ type, choices, shape }: Setting, value: unknown): boolean {
  switch (type) {
    case 'switch':
      return typeof value === 'boolean';
    case 'number':
      return Number.isSafeInteger(value) && (value as number) > 0;
    case 'choice':
      return typeof value === 'string' && choices!.includes(value);
    case 'list':
      return Array.isArray(value) && value.every((item) => typeof item === 'string' && item !== '');
    case 'text':
      return typeof value === 'string' && value !== '' && (shape !== 'address' || isAddress(value));
  }
}

/** HOST:PORT, an IPv6 host in brackets. */
function isAddress(text: string): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/.exec(text);
  return match !== null && Number(match[2]) <= 65_535;
}

/** The file's table, checked for keys that mean nothing; undefined if there is no file. */
function readTable(
  file: string,
  program: Program,
  parseToml: (text: string) => Record<string, unknown>,
): Record<string, unknown> | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    return fail(`can't read ${file}: ${message}`);
  }
  let table: Record<string, unknown>;
  try {
    table = parseToml(text);
  } catch (error) {
    return fail(`${file} is no TOML: ${(error as Error).message.trim()}`);
  }
  const known = settingsOf(program).map(({ key }) => key);
  for (const key of Object.keys(table)) {
    if (known.includes(key)) continue;
    const elsewhere = SETTINGS.some((setting) => setting.key === key);
    fail(
      elsewhere
        ? `${file}: ${key} is no setting of tincan ${program}, only of tincan ${program === 'daemon' ? 'bootstrap' : 'daemon'}`
        : `${file}: there is no setting ${key}; expected one of ${known.join(', ')}`,
    );
  }
  return table;
}

/** A path as a shell would take it: `~` is the home directory, and what is relative begins at `base`. */
export function expandPath(path: string, home: string = homedir(), base: string = process.cwd()): string {
  if (path === '~') return home;
  return path.startsWith('~/') ? join(home, path.slice(2)) : resolve(base, path);
}

function fail(message: string): never {
  throw new UsageError(message);
}
