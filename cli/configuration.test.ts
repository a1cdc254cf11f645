import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'smol-toml';
import { resolveConfiguration } from './configuration.ts';
import { SETTINGS } from './settings.ts';
import type { Program, SettingValue } from './settings.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tincan-config-'));
});
after(() => rmSync(folder, { recursive: true }));

interface Given {
  program?: Program;
  flags?: Record<string, SettingValue>;
  env?: NodeJS.ProcessEnv;
  toml?: string;
}

function resolve({ program = 'daemon', flags = {}, env = {}, toml = '' }: Given) {
  writeFileSync(join(folder, 'config.toml'), toml);
  return resolveConfiguration({
    program,
    flags: new Map(Object.entries({ data_dir: folder, ...flags })),
    env,
    home: '/home/ada',
    parseToml: parse,
  });
}

function find(given: Given, key: string) {
  const { value, source, origin } = resolve(given).settings.find(({ setting }) => setting.key === key)!;
  return { value, source, origin };
}

void test('flags win over the environment, the environment over the file, the file over the default', () => {
  const file = join(folder, 'config.toml');
  assert.deepEqual(find({}, 'dht'), { value: 'auto', source: 'default', origin: 'default' });
  const toml = 'dht = "client"';
  assert.deepEqual(find({ toml }, 'dht'), { value: 'client', source: 'file', origin: `${file}: dht` });
  const env = { TINCAN_DHT: 'server' };
  assert.deepEqual(find({ toml, env }, 'dht'), {
    value: 'server',
    source: 'environment',
    origin: 'TINCAN_DHT',
  });
  assert.deepEqual(find({ toml, env, flags: { dht: 'auto' } }, 'dht'), {
    value: 'auto',
    source: 'flag',
    origin: '--dht',
  });
});

void test('each type is read from the environment', () => {
  assert.equal(find({ env: { TINCAN_UNLISTED: 'yes' } }, 'unlisted').value, true);
  assert.equal(find({ env: { TINCAN_READ_RECEIPTS: '0' } }, 'read_receipts').value, false);
  assert.deepEqual(
    find({ env: { TINCAN_LISTEN: '/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2' } }, 'listen').value,
    ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'],
  );
  assert.equal(
    find({ program: 'bootstrap', env: { TINCAN_MAILBOX_BLOBS: '12' } }, 'mailbox_blobs').value,
    12,
  );
});

const refused: [string, Given, RegExp][] = [
  [
    'an unknown key',
    { toml: 'nmae = "ada"' },
    /config\.toml: there is no setting nmae; expected one of data_dir, name/,
  ],
  ['the other program’s key', { toml: 'mailbox_blobs = 5' }, /mailbox_blobs is no setting of tincan daemon/],
  ['a wrong type', { toml: 'unlisted = "yes"' }, /config\.toml: unlisted is "yes"; expected true or false/],
  [
    'a text for a list',
    { toml: 'listen = "/ip4/0.0.0.0/tcp/1"' },
    /listen is .*; expected a list of multiaddrs/,
  ],
  ['a wrong choice', { flags: { dht: 'off' } }, /--dht is "off"; expected one of auto, server, client/],
  [
    'a bad variable',
    { env: { TINCAN_UNLISTED: 'maybe' } },
    /TINCAN_UNLISTED is "maybe"; expected true or false/,
  ],
  ['a bad address', { flags: { http: '8080' } }, /--http is "8080"; expected HOST:PORT such as/],
  ['a port too high', { flags: { http: 'localhost:65536' } }, /--http/],
  ['what is no TOML', { toml: 'name = ' }, /config\.toml is no TOML/],
  ['data_dir in its own file', { toml: 'data_dir = "/tmp"' }, /data_dir can't stand in a file inside/],
  [
    'a missing file',
    { flags: { config: '/no/such.toml' } },
    /there is no configuration file \/no\/such\.toml/,
  ],
  ['zero', { program: 'bootstrap', toml: 'mailbox_blobs = 0' }, /expected a whole number above 0/],
];

for (const [what, given, message] of refused) {
  void test(`${what} is refused`, () => {
    assert.throws(() => resolve(given), { name: 'UsageError', message });
  });
}

void test('a file named with --config can say where the data lives, relative to itself', () => {
  const config = join(folder, 'other.toml');
  writeFileSync(config, 'data_dir = "data"\nname = "ada"');
  const found = resolveConfiguration({
    program: 'daemon',
    flags: new Map([['config', config]]),
    env: {},
    parseToml: parse,
  });
  assert.equal(found.dataDir, join(folder, 'data'));
  assert.equal(found.settings.find(({ setting }) => setting.key === 'name')?.value, 'ada');
});

void test('the data directory is ~/.tincan unless said otherwise', () => {
  const dataDir = (env: NodeJS.ProcessEnv) =>
    resolveConfiguration({ program: 'daemon', flags: new Map(), env, home: '/home/ada', parseToml: parse })
      .dataDir;
  assert.equal(dataDir({}), '/home/ada/.tincan');
  assert.equal(dataDir({ TINCAN_HOME: '~/elsewhere' }), '/home/ada/elsewhere');
});

void test('variables are named after keys', () => {
  for (const { key, env } of SETTINGS) {
    // TINCAN_PASSPHRASE is the passphrase itself.
    if (key === 'passphrase') assert.equal(env, 'TINCAN_USE_PASSPHRASE');
    else if (key !== 'data_dir') assert.equal(env, `TINCAN_${key.toUpperCase()}`);
  }
});
