import { networkInterfaces } from 'node:os';

/** The programs that take settings. */
export type Program = 'daemon' | 'bootstrap';

export type SettingValue = string | string[] | boolean | number;

export interface Setting {
  /** The key in `config.toml`. The flag is the same with dashes. */
  key: string;
  env: string;
  type: 'text' | 'list' | 'switch' | 'number' | 'choice';
  /** What stands for the value in `--help`. */
  placeholder?: string;
  choices?: readonly string[];
  /** What a value has to look like, beyond its type. */
  shape?: 'multiaddr' | 'peer-multiaddr' | 'address' | 'path';
  /** The programs that have it, each with its default; null for none. */
  defaults: Partial<Record<Program, SettingValue | null>>;
  help: string;
}

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

/**
 * Every setting of the programs: flags, environment variables, keys of `config.toml`, help and defaults are made from
 * this table and from nothing else.
 */
export const SETTINGS: readonly Setting[] = [
  {
    key: 'data_dir',
    env: 'TINCAN_HOME',
    type: 'text',
    placeholder: 'DIR',
    shape: 'path',
    // Two, so that both programs run on one machine as they come: a data directory belongs to one process.
    defaults: { daemon: '~/.tincan', bootstrap: '~/.tincan-bootstrap' },
    help: 'where identity, messages and settings live',
  },
  {
    key: 'name',
    env: 'TINCAN_NAME',
    type: 'text',
    placeholder: 'NAME',
    defaults: { daemon: null },
    help: 'the name to claim at start',
  },
  {
    key: 'bootstrap',
    env: 'TINCAN_BOOTSTRAP',
    type: 'list',
    placeholder: 'MULTIADDR',
    shape: 'peer-multiaddr',
    defaults: { daemon: [] },
    help: 'a bootstrap node, can be given several times',
  },
  {
    key: 'listen',
    env: 'TINCAN_LISTEN',
    type: 'list',
    placeholder: 'MULTIADDR',
    shape: 'multiaddr',
    // Any port does for a daemon: others learn it from its contact card. A bootstrap node's stands in people's files.
    defaults: { daemon: everywhere(0), bootstrap: everywhere(4001) },
    help: 'an address to listen on, can be given several times',
  },
  {
    key: 'announce',
    env: 'TINCAN_ANNOUNCE',
    type: 'list',
    placeholder: 'MULTIADDR',
    shape: 'multiaddr',
    defaults: { daemon: [], bootstrap: [] },
    help: 'an address to tell others instead of those found out, can be given several times',
  },
  {
    key: 'http',
    env: 'TINCAN_HTTP',
    type: 'text',
    placeholder: 'HOST:PORT',
    shape: 'address',
    // Monitoring wants to find a bootstrap node at the same port each time; a daemon writes its own into daemon.json.
    defaults: { daemon: '127.0.0.1:0', bootstrap: '127.0.0.1:4080' },
    help: 'where the HTTP API listens, port 0 for any free one',
  },
  {
    key: 'unlisted',
    env: 'TINCAN_UNLISTED',
    type: 'switch',
    defaults: { daemon: false },
    help: "stay out of the phonebooks' listings",
  },
  {
    key: 'dht',
    env: 'TINCAN_DHT',
    type: 'choice',
    choices: ['auto', 'server', 'client'],
    defaults: { daemon: 'auto' },
    help: 'whether to serve the DHT; auto: when the network is private or this machine publicly reachable',
  },
  {
    key: 'passphrase_file',
    env: 'TINCAN_PASSPHRASE_FILE',
    type: 'text',
    placeholder: 'FILE',
    shape: 'path',
    defaults: { daemon: null },
    help: 'read the passphrase from the first line of this file; it may also be in TINCAN_PASSPHRASE',
  },
  {
    key: 'passphrase',
    env: 'TINCAN_USE_PASSPHRASE',
    type: 'switch',
    defaults: { daemon: true },
    help: 'protect what is on the disk with a passphrase, chosen at the first start',
  },
  {
    key: 'read_receipts',
    env: 'TINCAN_READ_RECEIPTS',
    type: 'switch',
    defaults: { daemon: true },
    help: 'tell friends what has been read',
  },
  {
    key: 'max_connections',
    env: 'TINCAN_MAX_CONNECTIONS',
    type: 'number',
    placeholder: 'N',
    // A connection costs some 100 KiB: this many stay under half a gigabyte.
    defaults: { bootstrap: 4096 },
    help: 'open connections at the most',
  },
  {
    key: 'mailbox_blobs',
    env: 'TINCAN_MAILBOX_BLOBS',
    type: 'number',
    placeholder: 'N',
    defaults: { bootstrap: 1000 },
    help: 'messages held for one recipient at the most; strangers together have a twentieth of that beside it',
  },
  {
    key: 'mailbox_bytes',
    env: 'TINCAN_MAILBOX_BYTES',
    type: 'number',
    placeholder: 'N',
    defaults: { bootstrap: 16 * 1024 * 1024 },
    help: 'bytes held for one recipient at the most; strangers together have a twentieth of that beside it',
  },
  {
    key: 'mailbox_blobs_per_sender',
    env: 'TINCAN_MAILBOX_BLOBS_PER_SENDER',
    type: 'number',
    placeholder: 'N',
    defaults: { bootstrap: 128 },
    help: 'messages held for one recipient from one sender at the most',
  },
  {
    key: 'mailbox_total_bytes',
    env: 'TINCAN_MAILBOX_TOTAL_BYTES',
    type: 'number',
    placeholder: 'N',
    // Fits the smallest disk that is rented out, and a community of thousands.
    defaults: { bootstrap: 8 * 1024 ** 3 },
    help: 'bytes of the whole store above which no messages are taken',
  },
  {
    key: 'deposits_per_minute',
    env: 'TINCAN_DEPOSITS_PER_MINUTE',
    type: 'number',
    placeholder: 'N',
    // Full mailboxes of eight friends in a minute: more than a person writes, less than a flood.
    defaults: { bootstrap: 1024 },
    help: 'messages one peer may leave in a minute',
  },
  {
    key: 'log_level',
    env: 'TINCAN_LOG_LEVEL',
    type: 'choice',
    choices: LOG_LEVELS,
    defaults: { daemon: 'warn', bootstrap: 'info' },
    help: 'how much to log, to standard error',
  },
];

/** The settings a program has. */
export function settingsOf(program: Program): Setting[] {
  return SETTINGS.filter(({ defaults }) => program in defaults);
}

/** `--data-dir` for `data_dir`. */
export function flagOf({ key }: Pick<Setting, 'key'>): string {
  return `--${key.replaceAll('_', '-')}`;
}

/** `dataDir` for `data_dir`: the name in the programs' configuration objects. */
export function propertyOf({ key }: Pick<Setting, 'key'>): string {
  return key.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** What a value of this setting looks like, for an error message. */
export function expectedBy({ type, choices, shape }: Setting): string {
  switch (type) {
    case 'switch':
      return 'true or false';
    case 'number':
      return 'a whole number above 0';
    case 'choice':
      return `one of ${(choices ?? []).join(', ')}`;
    case 'list':
      return shape === undefined ? 'a list of texts' : `a list of multiaddrs such as ${EXAMPLES[shape]}`;
    case 'text':
      return shape === undefined ? 'a text' : EXAMPLES[shape];
  }
}

const EXAMPLES: Record<NonNullable<Setting['shape']>, string> = {
  multiaddr: '/ip4/0.0.0.0/tcp/4001',
  'peer-multiaddr': '/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…',
  address: 'HOST:PORT such as 127.0.0.1:4080',
  path: 'a path',
};

export function exampleOf(shape: NonNullable<Setting['shape']>): string {
  return EXAMPLES[shape];
}

/** All addresses of the machine. IPv6 only where there is some: elsewhere listening on it fails. */
function everywhere(port: number): string[] {
  const hasIpv6 = Object.values(networkInterfaces())
    .flat()
    .some((address) => address?.family === 'IPv6' && !address.internal);
  return hasIpv6 ? [`/ip4/0.0.0.0/tcp/${port}`, `/ip6/::/tcp/${port}`] : [`/ip4/0.0.0.0/tcp/${port}`];
}
