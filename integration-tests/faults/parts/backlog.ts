import { backlog as play } from '../load/backlog.ts';
import type { Part } from './part.ts';
import { megabytes, seconds } from './part.ts';

const MESSAGES = 100_000;
const FEWEST_MESSAGES = 20_000;

/** What a message takes on two cores, its check at the end included. */
const MESSAGE_MS = 0.4;

export const backlog: Part = {
  name: 'backlog',
  about: `${MESSAGES.toLocaleString('en')} messages are queued for somebody away, and both ends are killed`,
  weight: 2,
  fromMinutes: 5,
  async run({ seed, budgetMs, signal, log }) {
    const messages = Math.round(Math.max(FEWEST_MESSAGES, Math.min(MESSAGES, budgetMs / MESSAGE_MS)));
    const { readyMs, deliveryMs, perSecond, api, peakRssBytes } = await play({
      seed,
      messages,
      signal,
      log,
    });
    return {
      violations: [],
      figures: [
        { name: 'messages', value: messages.toLocaleString('en') },
        { name: 'start of a daemon with all of them in its outbox', value: seconds(readyMs) },
        {
          name: 'until all are delivered, with the recipient killed in the middle',
          value: `${seconds(deliveryMs)}, ${perSecond.toLocaleString('en')} a second`,
        },
        {
          name: "the daemon's API meanwhile, median; longest",
          value: `${api.p50Ms} ms; ${api.longestMs} ms`,
        },
        ...(peakRssBytes === undefined
          ? []
          : [
              {
                name: 'most memory of the sender; of the recipient',
                value: `${megabytes(peakRssBytes.sender)}; ${megabytes(peakRssBytes.recipient)}`,
              },
            ]),
      ],
    };
  },
};
