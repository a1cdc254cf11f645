import { backlog as play } from '../load/backlog.ts';
import type { Part } from './part.ts';
import { megabytes, seconds } from './part.ts';

const MESSAGES = 100_000;

export const backlog: Part = {
  name: 'backlog',
  about: `${MESSAGES.toLocaleString('en')} messages are queued for somebody away, and both ends are killed`,
  weight: 2,
  fromMinutes: 5,
  async run({ seed, signal, log }) {
    const { readyMs, deliveryMs, perSecond, api, peakRssBytes } = await play({
      seed,
      messages: MESSAGES,
      signal,
      log,
    });
    return {
      violations: [],
      figures: [
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
