import type { StatusView } from '../../protocols/control/contract.ts';
import type { CommandContext } from '../command.ts';
import { count, friendlyAge, friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan status`: how the daemon is doing. */
export async function run({ client, json, print }: CommandContext): Promise<number> {
  const status = await client.call('status', {});
  if (json) print(safeJson(status));
  else for (const line of statusLines(status, new Date())) print(line);
  return EXIT.ok;
}

function statusLines(status: StatusView, now: Date): string[] {
  const { outbox } = status;
  const rows: string[][] = [
    ['name', status.name === null ? 'none yet: tincan name claim NAME' : safeLine(status.name)],
    ['peer id', status.peerId],
    ['running', `since ${friendlyTime(status.startedAt, now)}, version ${safeLine(status.version)}`],
    ['data', safeLine(status.dataDir)],
    ...status.multiaddrs.map((address, index) => [index === 0 ? 'listening' : '', safeLine(address)]),
    ...(status.bootstrap.length === 0 ? [['bootstrap', 'none']] : []),
    ...status.bootstrap.map(({ state, multiaddr, detail, lastSeenAt }, index) => [
      index === 0 ? 'bootstrap' : '',
      [
        state,
        safeLine(multiaddr),
        ...(detail === null ? [] : [`(${safeLine(detail)})`]),
        ...(state === 'connected' || lastSeenAt === null
          ? []
          : [`last seen ${friendlyAge(lastSeenAt, now)}`]),
      ].join(' '),
    ]),
    ['DHT', `${status.dht.mode}, ${count(status.dht.peers, 'peer')}`],
    ['connections', String(status.connections)],
    [
      'outbox',
      outbox.messages === 0
        ? 'empty: everything is delivered'
        : `${count(outbox.messages, 'message')} not yet delivered${outbox.oldestAt === null ? '' : `, the oldest from ${friendlyTime(outbox.oldestAt, now)}`}`,
    ],
    ['unread', count(status.unread, 'message')],
    ...(status.requests === 0
      ? []
      : [['requests', `${count(status.requests, 'stranger')} would like to write: tincan requests`]]),
  ];
  return [...table(rows), ...status.warnings.map((warning) => `! ${safeLine(warning)}`)];
}
