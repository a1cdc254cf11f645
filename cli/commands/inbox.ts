import type { ControlClient } from '../../protocols/control/client.ts';
import type { MessageView } from '../../protocols/control/contract.ts';
import type { CommandContext } from '../command.ts';
import { followDaemon, isAbsence } from '../daemon-events.ts';
import { EXIT } from '../exit-code.ts';
import { isOwn, messageJson, messageLines } from '../message-lines.ts';
import { stopSignal } from '../stop-signal.ts';

const PAGE_MESSAGES = 500;

/** Ids of the newest messages printed, so that their events cost no look into the inbox. */
const REMEMBERED_IDS = 5000;

/** `tincan inbox`: messages from others in the order they arrived, and with `--follow` those to come. */
export async function run(
  context: CommandContext,
  _: readonly string[],
  { unread = false, follow = false }: { unread?: boolean; follow?: boolean },
): Promise<number> {
  const printer = inboxPrinter(context, unread);
  if (!follow) {
    await printer.printNew(context.client, undefined);
    return EXIT.ok;
  }
  const signal = stopSignal();
  let client = context.client;
  for await (const item of followDaemon({ dataDir: context.dataDir, signal })) {
    try {
      if (item.type === 'lost') context.note('-- the daemon is away; waiting for it --');
      else if (item.type === 'opened') {
        client = item.client;
        await printer.printNew(client, signal);
      } else if (item.event.type === 'resync') await printer.printNew(client, signal);
      else if (item.event.type === 'message' && printer.isNew(item.event.message)) {
        await printer.printNew(client, signal);
      }
    } catch (error) {
      // What is not printed now is printed when the daemon is back: the place in the inbox is kept.
      if (!signal.aborted && !isAbsence(error)) throw error;
    }
  }
  return EXIT.ok;
}

/**
 * Prints what came into the inbox since it last looked. Its place is the cursor of the last message printed, and only
 * the inbox is printed from, so that nothing is missed or comes twice, whatever happens to events and connections.
 */
function inboxPrinter(
  { json, print }: CommandContext,
  unread: boolean,
): {
  isNew: (message: MessageView) => boolean;
  printNew: (client: ControlClient, signal: AbortSignal | undefined) => Promise<void>;
} {
  let place: string | undefined;
  const printed = new Set<string>();
  /** By author, the last message printed and not yet marked as read. */
  const unmarked = new Map<string, string>();

  function printPage(messages: readonly MessageView[]): void {
    for (const line of json ? messages.map(messageJson) : messageLines(messages, new Date())) print(line);
    if (printed.size > REMEMBERED_IDS) printed.clear();
    for (const { id, from, cursor } of messages) {
      printed.add(id);
      unmarked.set(from, id);
      place = cursor;
    }
  }

  return {
    isNew: (message) => !isOwn(message) && !printed.has(message.id),

    async printNew(client, signal) {
      for (let more = true; more;) {
        const page = await client.call(
          'inbox',
          { unread: unread ? 'true' : 'false', after: place, limit: PAGE_MESSAGES },
          { signal },
        );
        printPage(page.messages);
        more = page.next !== null && page.messages.length > 0;
        if (!unread) continue;
        for (const [who, upTo] of unmarked) {
          await client.call('markRead', { who, upTo }, { signal });
          unmarked.delete(who);
        }
      }
    },
  };
}
