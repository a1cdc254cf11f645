import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Registry } from 'prom-client';
import { mailboxBlockLimits } from '../bootstrap/mailbox-block-limits.ts';
import { mailboxLimits } from '../bootstrap/mailbox-limits.ts';
import { prekeyLimits } from '../bootstrap/prekey-limits.ts';
import { registerMetrics } from '../bootstrap/metrics.ts';
import {
  REGISTRATION_LIMITS,
  REGISTRATIONS_PER_ADDRESS,
  RENDEZVOUS_REQUESTS_PER_ADDRESS,
} from '../bootstrap/limits.ts';
import { PHONEBOOK_LIMITS } from '../bootstrap/phonebook-limits.ts';
import { EXIT } from '../cli/exit-code.ts';
import { flagOf, settingsOf } from '../cli/settings.ts';
import type { Program, Setting } from '../cli/settings.ts';
import { MAX_CONNECTIONS, MAX_HEADER_BYTES, MAX_JSON_BYTES, MAX_UNANSWERED } from '../node/api/limits.ts';
import { MAX_WORDS } from '../node/search/search.ts';
import { MAX_CARD_BYTES, MAX_MAILBOX_MULTIADDRS, MAX_MAILBOXES } from '../protocols/contact-card/card.ts';
import { ERROR_STATUS, MAX_FOUND, MAX_QUERY_CHARS, MAX_TEXT_BYTES } from '../protocols/control/routes.ts';
import { CAPABILITY_BYTES, MAX_CAPABILITY_LIFETIME_MS } from '../protocols/mailbox/capability.ts';
import {
  MAX_ONE_TIME_PREKEYS,
  MAX_PREKEY_BYTES,
  PREKEY_ID_BYTES,
} from '../protocols/mailbox/prekey-frames.ts';
import { MAILBOX_STREAMS } from '../protocols/mailbox/handler.ts';
import {
  MAX_BLOB_BYTES,
  MAX_CLIENT_FRAME_BYTES,
  MAX_SERVER_FRAME_BYTES,
} from '../protocols/mailbox/protocol.ts';
import { MAX_CERTIFICATE_BYTES } from '../protocols/phonebook/certificate.ts';
import {
  MAX_ANSWER_BYTES,
  MAX_PAGE_ENTRIES,
  MAX_PEER_RECORD_BYTES,
  MAX_REQUEST_BYTES,
  STREAM_TIMEOUT_MS,
} from '../protocols/phonebook/protocol.ts';
import { REQUESTS_PER_ADDRESS } from '../protocols/dht/paced-requests.ts';
import { GUARD_LIMITS, HUB_LIMITS } from '../protocols/transport/limits.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import { RENDEZVOUS_LIMITS } from '../protocols/rendezvous/limits.ts';

const ROOT = resolve(import.meta.dirname, '..');

const DOCUMENTS = globSync('{*.md,docs/**/*.md,{protocols,node,bootstrap,cli,integration-tests}/**/*.md}', {
  cwd: ROOT,
});

function read(document: string): string {
  return readFileSync(join(ROOT, document), 'utf8');
}

/** The text without fenced blocks, in which a link or a heading is none. */
function prose(document: string): string {
  return read(document).replaceAll(/^```[^\n]*\n.*?^```$/gms, '');
}

/** The anchors that GitHub gives the headings of a document. */
function anchorsOf(document: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, title] of prose(document).matchAll(/^#+ (.+)$/gm)) {
    const slug = title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-');
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** The rows of all tables of a document, cell by cell. */
function rowsOf(document: string): string[][] {
  return rowsIn(prose(document));
}

function rowsIn(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s|:-]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** A row of the tables under the heading "Limits". */
function limitRow(document: string, first: string): string[] {
  const [, section = ''] = /^## Limits$(.*?)(?:^## |(?![\s\S]))/ms.exec(prose(document)) ?? [];
  const found = rowsIn(section).find(([cell]) => cell === first);
  assert.ok(found, `${document} has no limit that is called ${first}`);
  return found;
}

void test('links between documents resolve', () => {
  const broken: string[] = [];
  for (const document of DOCUMENTS) {
    for (const [, target] of prose(document)
      .replaceAll(/`[^`\n]*`/g, 'code')
      .matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path = '', anchor] = target!.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(ROOT, file))) broken.push(`${document}: ${target}: no such file`);
      else if (anchor !== undefined && !anchorsOf(file).has(anchor)) {
        broken.push(`${document}: ${target}: no such heading`);
      }
    }
  }
  assert.deepEqual(broken, []);
});

/** What tests of a file are called. What is put into a title when it runs stands as an ellipsis. */
function testTitles(file: string): Set<string> {
  const titles = new Set<string>();
  for (const [, quote, title] of read(file).matchAll(/\b(?:test|scenario)\(\s*(['"`])(.*?)(?<!\\)\1,/gs))
    titles.add(quote === '`' ? title!.replaceAll(/\$\{[^}]*\}/g, '…') : title!.replaceAll("\\'", "'"));
  return titles;
}

void test('the threat model names a test for everything that somebody can not do, by its title', () => {
  const document = 'docs/threat-model.md';
  const wrong: string[] = [];
  const tables = prose(document).split(/\n\n+/);
  const claims = tables.flatMap((table) => {
    const [[head] = [], ...rows] = rowsIn(table);
    return head === 'cannot' ? rows : [];
  });
  assert.ok(claims.length > 30, `only ${claims.length} rows`);
  for (const [claim, shown = ''] of claims)
    if (!/\]\([^)]+\.test\.ts\)/.test(shown)) wrong.push(`no test shows: ${claim}`);
  for (const [, title, target] of prose(document).matchAll(/\[([^\]]+)\]\(([^)\s]+\.test\.ts)\)/g))
    if (!testTitles(join(dirname(document), target!)).has(title!))
      wrong.push(`${target} has no test "${title}"`);
  assert.deepEqual(wrong, []);
});

void test('files that documents name exist', () => {
  const missing: string[] = [];
  for (const document of DOCUMENTS) {
    for (const [, path] of prose(document).matchAll(
      /`((?:protocols|node|bootstrap|cli|integration-tests|docs)\/[\w./-]+)`/g,
    )) {
      if (!existsSync(join(ROOT, path!))) missing.push(`${document}: ${path}`);
    }
  }
  assert.deepEqual(missing, []);
});

void test('the README has every command, and no other', async () => {
  const tincan = join(ROOT, 'cli/tincan.cjs');
  const { stdout } = await promisify(execFile)(process.execPath, [tincan, '--help']);
  const [, commands = ''] = /^Programs:$(.*?)^Exit codes:$/ms.exec(stdout) ?? [];
  const verbs = Array.from(commands.matchAll(/^ {2}([a-z]+)(?= )/gm), ([, name]) => name!);
  assert.ok(verbs.length > 15, `--help lists only ${verbs.join(', ')}`);
  const written = rowsOf('README.md').flatMap(([cell = '']) => {
    const [, verb, rest = ''] = /^`tincan ([a-z]+)(.*)`$/.exec(cell) ?? [];
    return verb === undefined ? [] : [{ verb, rest }];
  });
  assert.deepEqual(new Set(written.map(({ verb }) => verb)), new Set(verbs));
  const names = written.filter(({ verb }) => verb === 'name').map(({ rest }) => rest.trim().split(' ')[0]);
  assert.deepEqual(names, ['claim', 'release']);
});

void test('the README has every exit code', () => {
  const codes = rowsOf('README.md').flatMap(([cell = '']) => (/^\d$/.test(cell) ? [Number(cell)] : []));
  assert.deepEqual(codes, Object.values(EXIT));
});

/** What a table has for a default that is the same on every machine. */
function shownDefault({ key, type, defaults }: Setting, program: Program): string | undefined {
  const value = defaults[program];
  if (key === 'listen' || type === 'list') return undefined;
  if (value === null) return '';
  return type === 'number' ? String(value) : `\`${String(value)}\``;
}

for (const program of ['daemon', 'bootstrap'] as const) {
  void test(`the README has every setting of tincan ${program}`, () => {
    const [, part] = read('README.md').split(new RegExp(`^Of \`tincan ${program}\`.*$`, 'm'));
    assert.ok(part, `the README has no table of settings of tincan ${program}`);
    const rows = part
      .split(/\n(?!\||\n)/)[0]!
      .split('\n')
      .filter((line) => line.startsWith('| `--'))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    const expected = settingsOf(program).map((setting) => {
      const flag =
        setting.defaults[program] === true ? flagOf(setting).replace('--', '--no-') : flagOf(setting);
      return [`\`${flag}\``, `\`${setting.env}\``];
    });
    assert.deepEqual(
      rows.map(([, flag, variable]) => [flag, variable]),
      expected,
    );
    for (const [index, setting] of settingsOf(program).entries()) {
      const wanted = shownDefault(setting, program);
      if (wanted !== undefined) assert.equal(rows[index]![3], wanted, `the default of ${setting.key}`);
    }
  });
}

void test("the operator's page has the limits that can be set, with their defaults", () => {
  for (const setting of settingsOf('bootstrap').filter(({ type }) => type === 'number')) {
    const cells = limitRow('docs/operating-a-bootstrap-node.md', `\`${flagOf(setting)}\``);
    assert.equal(cells[1], String(setting.defaults.bootstrap), setting.key);
  }
});

void test("the operator's page has every metric of the node", async () => {
  const registry = new Registry();
  registerMetrics(registry, {
    connectedPeers: () => 0,
    relayReservations: () => 0,
    registrations: () => Promise.resolve(0),
    phonebook: () => Promise.resolve({ names: 0, known: 0, online: 0 }),
    mailboxTotals: () => Promise.resolve({ blobs: 0, blocks: 0 }),
    mailbox: () => assert.fail('nobody asks'),
    blockRequests: () => assert.fail('nobody asks'),
    prekeyBytes: () => Promise.resolve(0),
    prekeys: () => assert.fail('nobody asks'),
    storeQueue: () => 0,
    storeBytes: () => Promise.resolve(0),
  });
  const written = rowsOf('docs/operating-a-bootstrap-node.md').flatMap(
    ([cell = '']) => /^`(tincan_\w+)`$/.exec(cell)?.[1] ?? [],
  );
  assert.deepEqual(
    written.toSorted(),
    registry
      .getMetricsAsArray()
      .map(({ name }) => name)
      .toSorted(),
  );
});

void test("the API's errors are those of the code", () => {
  const written = rowsOf('protocols/control/README.md').flatMap(([code = '', status = '']) =>
    /^\d{3}$/.test(status) ? [[code.replaceAll('`', ''), Number(status)]] : [],
  );
  assert.deepEqual(Object.fromEntries(written), ERROR_STATUS);
});

function count(value: number): string {
  return value.toLocaleString('en-GB');
}

/** Bytes as the tables have them: in full, or in KiB or MiB. */
function size(bytes: number): string {
  if (bytes % 1024 ** 2 === 0) return `${count(bytes / 1024 ** 2)} MiB`;
  return `${count(bytes / 1024)} KiB`;
}

const bootstrapDefaults = Object.fromEntries(
  settingsOf('bootstrap').map(({ key, defaults }) => [key, Number(defaults.bootstrap)]),
);
const MAILBOX = mailboxLimits({
  mailboxBlobs: bootstrapDefaults['mailbox_blobs']!,
  mailboxBytes: bootstrapDefaults['mailbox_bytes']!,
  mailboxBlobsPerSender: bootstrapDefaults['mailbox_blobs_per_sender']!,
  mailboxTotalBytes: bootstrapDefaults['mailbox_total_bytes']!,
  depositsPerMinute: bootstrapDefaults['deposits_per_minute']!,
});
const PREKEYS = prekeyLimits({ mailboxTotalBytes: MAILBOX.totalBytes });
const BLOCKS = mailboxBlockLimits({ mailboxTotalBytes: MAILBOX.totalBytes });
const HOUR = 3600;
const DAY_MS = 24 * HOUR * 1000;

/** By document: the first cell of a row, and what the second has to hold. */
const FIGURES: Record<string, [string, ...string[]][]> = {
  'protocols/contact-card/README.md': [
    ['a sealed card', `${count(MAX_CARD_BYTES)} bytes`],
    ['mailboxes', count(MAX_MAILBOXES)],
    ['addresses of one mailbox', count(MAX_MAILBOX_MULTIADDRS)],
  ],
  'protocols/control/README.md': [
    ['text of a message', size(MAX_TEXT_BYTES)],
    ['body, or line of the streaming send', size(MAX_JSON_BYTES)],
    ['headers of a request', size(MAX_HEADER_BYTES)],
    ['messages of one streaming send short of `until`', count(MAX_UNANSWERED)],
    ['connections', `${count(MAX_CONNECTIONS)} on the socket`],
    ['a page', `of a search ${count(MAX_FOUND)}`],
    ['a search', `${count(MAX_QUERY_CHARS)} characters, ${count(MAX_WORDS)} words`],
  ],
  'protocols/mailbox/README.md': [
    ['blob', size(MAX_BLOB_BYTES)],
    ['time kept', `${MAILBOX.keptMs / DAY_MS} days`],
    ['blobs for one recipient', count(MAILBOX.blobs)],
    ['bytes for one recipient', size(MAILBOX.bytes)],
    ['blobs of strangers for one', count(MAILBOX.strangers.blobs), count(MAILBOX.strangers.blobsPerSender)],
    ['bytes of strangers for one', `${count(Math.floor(MAILBOX.strangers.bytes / 1024))} KiB`],
    ['capability', `${CAPABILITY_BYTES} bytes`, `${MAX_CAPABILITY_LIFETIME_MS / DAY_MS} days`],
    ['depositors that one owner blocks', count(BLOCKS.perOwner)],
    ['depositors blocked by everybody', count(BLOCKS.total)],
    ['requests of one owner about them', ...bucket(BLOCKS.requests)],
    ['blobs for one recipient per sender', count(MAILBOX.blobsPerSender)],
    ['deposits of one peer', `${count(MAILBOX.depositsPerMinute)} a minute`],
    ['bytes held for everybody together', `${count(MAILBOX.totalBytes / 1024 ** 3)} GiB`],
    ['collect streams of one peer', `${count(MAILBOX.collectsPerMinute)} a minute`],
    ['prekey', size(MAX_PREKEY_BYTES)],
    ['id of a prekey', `${PREKEY_ID_BYTES} bytes`],
    ['one-time prekeys of one owner', count(MAX_ONE_TIME_PREKEYS)],
    ['last-resort prekeys of one owner', count(PREKEYS.lastResort)],
    ['time a prekey is handed out', `${PREKEYS.keptMs / DAY_MS} days`],
    ['prekeys of everybody together', `${count(PREKEYS.totalBytes / 1024 ** 3)} GiB`],
    ['requests of one peer about prekeys', `${count(PREKEYS.requestsPerMinute)} a minute`],
    ['publications of one owner', ...bucket(PREKEYS.publications)],
    ['takes of one recipient by a taker', ...bucket(PREKEYS.takesOfRecipient)],
    ['streams on one connection', count(MAILBOX_STREAMS.maxInboundStreams!)],
    ['frame from a client', size(MAX_CLIENT_FRAME_BYTES)],
    ['frame from a mailbox', size(MAX_SERVER_FRAME_BYTES)],
  ],
  'protocols/phonebook/README.md': [
    ['a request', `${count(MAX_REQUEST_BYTES)} bytes`],
    ['an answer', `${count(MAX_ANSWER_BYTES)} bytes`],
    ['a peer record', `${count(MAX_PEER_RECORD_BYTES)} bytes`],
    ['a contact card', `${count(MAX_CARD_BYTES)} bytes`],
    ['a certificate', `${count(MAX_CERTIFICATE_BYTES)} bytes`],
    ['entries in a page', count(MAX_PAGE_ENTRIES)],
    ['a stream', `${STREAM_TIMEOUT_MS / 1000} s`],
  ],
  'protocols/rendezvous/README.md': [
    ['namespace', `${count(RENDEZVOUS_LIMITS.maxNamespaceBytes)} bytes`],
    [
      'ttl',
      `${RENDEZVOUS_LIMITS.minTtlSeconds / HOUR} h to ${RENDEZVOUS_LIMITS.maxTtlSeconds / HOUR} h`,
      `${RENDEZVOUS_LIMITS.defaultTtlSeconds / HOUR} h when left out`,
    ],
    ['registrations of one peer', count(RENDEZVOUS_LIMITS.maxRegistrationsPerPeer)],
    ['registrations in one answer', count(RENDEZVOUS_LIMITS.maxDiscoverLimit)],
    ['signed peer record', size(RENDEZVOUS_LIMITS.maxSignedPeerRecordBytes)],
    ['request', size(RENDEZVOUS_LIMITS.maxRequestBytes)],
    ['answer', size(RENDEZVOUS_LIMITS.maxResponseBytes)],
  ],
};

for (const [document, figures] of Object.entries(FIGURES)) {
  void test(`the limits in ${document} are those of the code`, () => {
    for (const [what, ...wanted] of figures) {
      const [, limit = ''] = limitRow(document, what);
      for (const figure of wanted) {
        // As a figure of its own: 24 KiB is not in 524 KiB.
        const whole = new RegExp(`(?<![\\d,.])${figure.replaceAll('.', '\\.')}(?![\\d,.]*\\d)`);
        assert.match(limit, whole, `${what}: the code has ${figure}`);
      }
    }
  });
}

void test("the phonebook's README has the bootstrap node's limits", () => {
  const text = prose('protocols/phonebook/README.md').replaceAll(/\s+/g, ' ');
  const { claimsPerMinute, renewalsPerMinute, lookupsPerMinute, maxNames, maxPeers, maxPresenceBytes } =
    PHONEBOOK_LIMITS;
  for (const figure of [
    `${claimsPerMinute} claims`,
    `${renewalsPerMinute} renewals`,
    `${lookupsPerMinute} lookups`,
    `names (${count(maxNames)})`,
    `${count(maxPeers)} and ${size(maxPresenceBytes)}`,
  ]) {
    assert.ok(text.includes(figure), `the code has ${figure}`);
  }
});

/** As the operator's page has it. */
function bucket({ burst, perSecond }: BucketLimits): string[] {
  const minutely = perSecond * 60;
  const refilled =
    minutely < 1
      ? `1 in ${count(1 / minutely)} minutes`
      : perSecond < 1
        ? `${count(minutely)} a minute`
        : `${count(perSecond)} a second`;
  return [`${count(burst)} at once`, refilled];
}

void test("the operator's page has the limits of one address and of all", () => {
  const { perAddress } = PHONEBOOK_LIMITS;
  const expected: [string, ...string[]][] = [
    [
      'new connections a second',
      count(HUB_LIMITS.inboundConnectionsPerSecond),
      count(HUB_LIMITS.handshakesPerSecond),
    ],
    ['handshakes under way', count(HUB_LIMITS.maxPendingPerAddress), count(HUB_LIMITS.maxPendingInbound)],
    ['connections', count(HUB_LIMITS.maxConnectionsPerAddress)],
    ['streams opened on a connection', ...bucket(GUARD_LIMITS.streams)],
    ['names claimed and released', ...bucket(perAddress.claims)],
    ['renewals of presence', ...bucket(perAddress.renewals)],
    ['lookups and pages of the listing', ...bucket(perAddress.lookups)],
    ['rendezvous requests', ...bucket(RENDEZVOUS_REQUESTS_PER_ADDRESS)],
    ['rendezvous registrations', ...bucket(REGISTRATIONS_PER_ADDRESS), count(REGISTRATION_LIMITS.maxTotal)],
    [
      'bytes deposited',
      size(MAILBOX.depositBytesPerAddress.burst),
      size(MAILBOX.depositBytesPerAddress.perSecond),
    ],
    ['requests of the DHT answered', ...bucket(REQUESTS_PER_ADDRESS)],
    ['collections begun', count(MAILBOX.collectsPerMinute), ...bucket(MAILBOX.collectsPerAddress)],
    ['mail on its way to its recipients', size(MAILBOX.sending.perAddress), size(MAILBOX.sending.total)],
    ['requests about prekeys', count(PREKEYS.requestsPerMinute), ...bucket(PREKEYS.requestsPerAddress)],
    [
      'prekeys published',
      count(PREKEYS.publications.burst),
      `${count(PREKEYS.publications.perSecond * 60)} a minute`,
      count(PREKEYS.publicationsPerAddress.burst),
      `${count(PREKEYS.publicationsPerAddress.perSecond * 60)} a minute`,
    ],
    [
      'requests to block',
      ...bucket(BLOCKS.requests),
      ...bucket(BLOCKS.requestsPerAddress),
      count(BLOCKS.total),
    ],
    ['prekeys taken', ...bucket(PREKEYS.takesPerAddress)],
    [
      'one-time prekeys of one recipient',
      ...bucket(PREKEYS.takesOfRecipient),
      ...bucket(PREKEYS.takesOfRecipientPerAddress),
    ],
    ['answers that wait to be read', size(GUARD_LIMITS.maxBacklogBytes)],
    ['what is remembered of peers', size(HUB_LIMITS.peerStoreBytes)],
  ];
  for (const [what, ...figures] of expected) {
    const row = rowsOf('docs/operating-a-bootstrap-node.md').find(([cell]) => cell === what);
    const cells = row?.join(' | ') ?? '';
    for (const figure of figures) assert.ok(cells.includes(figure), `${what}: the code has ${figure}`);
  }
});
