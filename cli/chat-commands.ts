import type { ChatSession } from './chat-session.ts';
import { displayName, shortPeerId, table } from './display.ts';
import { describeError } from './exit-code.ts';
import { foundLines } from './commands/search.ts';
import { numberLines } from './commands/verify.ts';
import { describeKey, describePresence } from './people.ts';
import { safeLine } from './terminal-text.ts';

const HELP = [
  'Type a line to send it. A line that begins with // is sent with one /.',
  '  /connect NAME     talk to somebody',
  '  /send NAME TEXT   send somebody a line',
  '  /list             friends and conversations',
  '  /whois NAME       look somebody up',
  '  /search WORDS     look for words in all conversations',
  '  /verify           the safety number with whom you talk to',
  '  /requests         strangers who want to write to you',
  '  /accept NAME      make a friend of one',
  '  /decline NAME     forget what one asked for',
  '  /block NAME       take nothing more of somebody',
  '  /id               who you are',
  '  /retry            send the message that failed last again',
  '  /quit             leave; the daemon goes on',
];

/** Shown of what was found: less than a screen, so that the chat stays in sight. */
const FOUND_LINES = 10;

/**
 * Does what a line of the chat asks for. Never throws for what the user typed or the daemon refused: that is shown.
 *
 * @returns false when the chat is to end
 */
export async function handleLine(
  session: ChatSession,
  line: string,
  show: (line: string) => void,
): Promise<boolean> {
  if (line.trim() === '') return true;
  try {
    if (!line.startsWith('/') || line.startsWith('//')) {
      const { partner } = session;
      if (partner === undefined) throw new Error('nobody to talk to yet: /connect NAME');
      if (partner.blocked) {
        throw new Error(
          `not sent: whose key stands behind ${partner.who} is in question; /whois ${partner.who} says more`,
        );
      }
      session.send(partner.peerId, line.startsWith('//') ? line.slice(1) : line);
      return true;
    }
    const [, command = '', rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
    return await handleCommand(session, command, rest.trim(), show);
  } catch (error) {
    session.failed = true;
    show(`! ${safeLine(describeError(error))}`);
    return true;
  }
}

async function handleCommand(
  session: ChatSession,
  command: string,
  rest: string,
  show: (line: string) => void,
): Promise<boolean> {
  switch (command) {
    case 'quit':
      return false;
    case 'help':
      for (const line of HELP) show(line);
      return true;
    case 'connect':
      await connect(session, argument(rest, '/connect NAME'), show);
      return true;
    case 'send': {
      const [, to, text] = /^(\S+)\s+(.+)$/s.exec(rest) ?? [];
      if (to === undefined || text === undefined) throw new Error('usage: /send NAME TEXT');
      session.send(to, text);
      return true;
    }
    case 'list':
      await list(session, show);
      return true;
    case 'whois': {
      const found = await daemon(session).call('whois', { who: argument(rest, '/whois NAME') });
      show(
        `${displayName(found)}  ${describePresence(found, new Date())}  ${describeKey(found)}  ${safeLine(found.peerId)}  (from ${found.source})`,
      );
      if (found.warning !== null) show(`! ${safeLine(found.warning)}`);
      return true;
    }
    case 'verify': {
      const { partner } = session;
      if (partner === undefined) throw new Error('nobody to talk to yet: /connect NAME');
      const found = await daemon(session).call('verification', { who: partner.peerId });
      show(`${displayName(found)}  ${describeKey(found)}  ${safeLine(found.peerId)}`);
      for (const line of numberLines(found.safetyNumber)) show(`  ${line}`);
      return true;
    }
    case 'search': {
      const q = argument(rest, '/search WORDS');
      const { messages } = await daemon(session).call('search', { q, limit: FOUND_LINES });
      for (const found of foundLines(messages, new Date())) show(found);
      if (messages.length === 0) show('nothing found');
      return true;
    }
    case 'requests':
      await listRequests(session, show);
      return true;
    case 'accept': {
      const contact = await daemon(session).call('accept', { who: argument(rest, '/accept NAME') });
      show(`-- ${displayName(contact)} is a friend: /connect ${displayName(contact)} --`);
      return true;
    }
    case 'decline': {
      const { peerId } = await daemon(session).call('decline', { who: argument(rest, '/decline NAME') });
      show(`-- forgotten: ${shortPeerId(peerId)} is not told --`);
      return true;
    }
    case 'block': {
      const blocked = await daemon(session).call('block', { who: argument(rest, '/block NAME') });
      show(
        `-- ${displayName(blocked)} is blocked; to take it back: tincan unblock ${displayName(blocked)} --`,
      );
      return true;
    }
    case 'id': {
      const { name, peerId } = await daemon(session).call('identity', {});
      show(`${name === null ? 'no name' : safeLine(name)}  ${peerId}`);
      return true;
    }
    case 'retry': {
      const id = session.lastFailed();
      if (id === undefined) throw new Error('no message has failed');
      await daemon(session).call('retry', { id });
      return true;
    }
    default:
      throw new Error(`there is no command /${command}; /help lists them`);
  }
}

async function listRequests(session: ChatSession, show: (line: string) => void): Promise<void> {
  const { requests } = await daemon(session).call('requests', {});
  for (const request of requests)
    show(`${displayName(request)}  ${safeLine(request.peerId)}: ${safeLine(request.text)}`);
  if (requests.length === 0) show('nobody unknown has asked to write to you');
}

/** Turns to somebody and says whether they are in reach; messages go out either way. */
async function connect(session: ChatSession, who: string, show: (line: string) => void): Promise<void> {
  await session.talkTo(who);
  const { partner } = session;
  if (partner === undefined) return;
  void daemon(session)
    .call('connect', { who: partner.peerId })
    .catch((error: unknown) =>
      show(`-- ${partner.label} is not in reach now: ${safeLine(describeError(error))} --`),
    );
}

async function list(session: ChatSession, show: (line: string) => void): Promise<void> {
  const client = daemon(session);
  const { contacts } = await client.call('contacts', {});
  const { conversations } = await client.call('conversations', {});
  const now = new Date();
  const rows = contacts.map((contact) => [
    displayName(contact),
    describePresence(contact, now),
    contact.unread === 0 ? '' : `${contact.unread} unread`,
  ]);
  const known = new Set(contacts.map(({ peerId }) => peerId));
  for (const conversation of conversations) {
    if (known.has(conversation.peerId)) continue;
    rows.push([
      displayName(conversation),
      'no friend',
      conversation.unread === 0 ? '' : `${conversation.unread} unread`,
    ]);
  }
  for (const line of table(rows)) show(line);
  if (rows.length === 0) show('nobody yet: /connect NAME');
}

function daemon({ client }: ChatSession): NonNullable<ChatSession['client']> {
  if (client === undefined) throw new Error('the daemon is away; try again when it is back');
  return client;
}

function argument(rest: string, usage: string): string {
  if (rest === '') throw new Error(`usage: ${usage}`);
  return rest;
}
