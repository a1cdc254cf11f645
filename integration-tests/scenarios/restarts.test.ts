import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Daemon } from '../harness/daemon.ts';
import type { Program } from '../harness/program.ts';
import { randomFrom } from '../harness/random.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

const MESSAGES = 500;

/** Between two kills: as long as some dozens of messages take. */
const SHORTEST_MS = 50;
const LONGEST_MS = 600;

const TEXTS = Array.from({ length: MESSAGES }, (_, index) => `message ${index + 1}`);

/** Sends all texts one after another. When the daemon dies, its history says which of them it has. */
async function sendThroughout(ada: Daemon, to: string, signal: AbortSignal): Promise<void> {
  for (let next = 0; next < TEXTS.length;) {
    try {
      await ada.client.call('send', { to, text: TEXTS[next]! }, { signal });
      next++;
    } catch {
      signal.throwIfAborted();
      next = await waitFor('the sender to be back', () => countSent(ada, to, signal), { signal });
    }
  }
}

async function countSent(ada: Daemon, who: string, signal: AbortSignal): Promise<number> {
  const { messages } = await ada.client.call('history', { who, limit: 1000 }, { signal });
  assert.deepEqual(
    messages.map(({ text }) => text),
    TEXTS.slice(0, messages.length),
  );
  return messages.length;
}

for (const [victims, title, kills] of [
  [['sender'], 'the sender is killed', 5],
  [['recipient'], 'the recipient is killed', 5],
  [['sender', 'recipient', 'bootstrap'], 'anybody is killed', 8],
] as const) {
  scenario(`${MESSAGES} messages arrive once and in order while ${title} again and again`, async (town) => {
    const { signal } = town;
    const phonebook = await town.bootstrap();
    const [ada, ben] = await Promise.all([
      town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
      town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
    ]);
    await Promise.all([ada.knows('ben'), ben.knows('ada')]);
    await ada.client.call('addContact', { who: 'ben' }, { signal });
    await ben.client.call('addContact', { who: 'ada' }, { signal });

    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = randomFrom(seed);
    const programs: Record<string, Program> = {
      sender: ada.program,
      recipient: ben.program,
      bootstrap: phonebook.program,
    };
    const story: string[] = [`seed ${seed}`];
    const killAround = async (): Promise<void> => {
      for (let round = 0; round < kills; round++) {
        await delay(SHORTEST_MS + random() * (LONGEST_MS - SHORTEST_MS), undefined, { signal });
        const victim = victims[Math.floor(random() * victims.length)]!;
        story.push(victim);
        await programs[victim]!.kill();
        await programs[victim]!.start();
      }
    };
    try {
      await Promise.all([killAround(), sendThroughout(ada, ben.peerId, signal)]);
      assert.deepEqual(await ben.texts(MESSAGES), TEXTS);
      await waitFor(
        'everything to be acknowledged',
        async () => (await ada.client.call('status', {}, { signal })).outbox.messages === 0,
        { signal },
      );
      assert.deepEqual(await ben.texts(MESSAGES), TEXTS);
      const inbox = await ben.inbox();
      assert.ok(inbox.every(({ missing }) => missing === 0));
    } catch (error) {
      throw new Error(`${(error as Error).message} (${story.join(', ')})`, { cause: error });
    }
  });
}
