import { Agent, request } from 'node:http';
import { benchProcess } from './bench-process.ts';
import { percentile } from './figure.ts';
import type { Figure } from './figure.ts';
import { openPrograms } from './programs.ts';
import type { RunningDaemon } from './programs.ts';

const TEXT = 'x'.repeat(140);

/** A 140-byte message as its frame is on the wire. */
const FRAME_BYTES = 231;
const IN_FLIGHT = 256;
const MESSAGES = 40_000;
const FLOOR_FRAMES = 400_000;
const POSTS = 3_000;
const TRIPS = 500;

/** Messages through one streaming send, `inFlight` of them unanswered; milliseconds each took until `delivered`. */
async function sendAll(
  { client }: RunningDaemon,
  to: string,
  count: number,
  inFlight: number,
): Promise<number[]> {
  const stop = new AbortController();
  const stream = client.sendStream({ signal: stop.signal });
  const sentAt = new Float64Array(count);
  const took: number[] = [];
  let sent = 0;
  const send = (more: number): void => {
    for (let left = Math.min(more, count - sent); left > 0; left--) {
      sentAt[sent] = performance.now();
      stream.send({ to, text: TEXT, ref: sent++ });
    }
  };
  send(inFlight);
  for await (const answers of stream.batches) {
    let delivered = 0;
    for (const answer of answers) {
      if ('error' in answer) throw new Error(answer.error.message);
      if (answer.state !== 'delivered') continue;
      took.push(performance.now() - sentAt[answer.ref as number]!);
      delivered++;
    }
    if (took.length === count) break;
    send(delivered);
  }
  stop.abort();
  return took;
}

/** One HTTP POST after the other on one kept-alive connection; how many a second. */
async function postAll(port: number, count: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify({ to: 'somebody', text: TEXT });
  const start = performance.now();
  for (let turn = 0; turn < count; turn++) {
    await new Promise<void>((resolve, reject) => {
      request({ agent, port, method: 'POST', headers: { 'content-length': body.length } }, (response) => {
        response.resume().on('end', resolve);
      })
        .on('error', reject)
        .end(body);
    });
  }
  agent.destroy();
  return count / ((performance.now() - start) / 1000);
}

/** Live messages between two daemons, against a bare stream, and against a POST and a commit each. */
export async function liveFigures(stack: AsyncDisposableStack): Promise<Figure[]> {
  const programs = stack.use(await openPrograms());
  const bootstrap = await programs.bootstrap();
  const alice = await programs.daemon('alice', bootstrap);
  const bob = await programs.daemon('bob', bootstrap);
  const to = bob.program.ready.peerId;
  await bob.client.call('addContact', { who: alice.program.ready.peerId });
  // By whatever way there is: the daemons may not have met their bootstrap node yet.
  await alice.client.call('send', { to, text: 'hello', wait: 'delivered', timeoutMs: 30_000 });
  await sendAll(alice, to, MESSAGES, IN_FLIGHT);

  const server = stack.use(benchProcess('floor-node.ts'));
  const client = stack.use(benchProcess('floor-node.ts'));
  const http = stack.use(benchProcess('floor-http.ts'));
  const address = await server.call<string>('address');
  const port = await http.call<number>('port');

  const ownTrips = (): Promise<number[]> => sendAll(alice, to, TRIPS, 1);
  const floorTrips = (): Promise<number[]> =>
    client.call<number[]>('echo', { to: address, times: TRIPS, frameBytes: FRAME_BYTES });

  return [
    {
      name: `live acked messages/s, 140 B, committed at both ends, ${IN_FLIGHT} in flight`,
      unit: '/s',
      higherIsBetter: true,
      async ours() {
        const start = performance.now();
        await sendAll(alice, to, MESSAGES, IN_FLIGHT);
        return MESSAGES / ((performance.now() - start) / 1000);
      },
      floors: [
        {
          name: 'the same frames, batched, on one bare libp2p stream, nothing stored',
          run: () =>
            client.call<number>('acked', {
              to: address,
              frames: FLOOR_FRAMES,
              inFlight: IN_FLIGHT,
              frameBytes: FRAME_BYTES,
            }),
          reach: 1 / 8,
        },
        {
          name: 'one HTTP POST and one SQLite commit a message',
          run: () => postAll(port, POSTS),
          reach: 100,
        },
      ],
    },
    ...[0.5, 0.99].map((share) => ({
      name: `round trip send -> delivered at depth 1, p${share * 100}`,
      unit: 'ms',
      higherIsBetter: false,
      ours: async () => percentile(await ownTrips(), share),
      floors: [
        {
          name: 'echo on a bare stream and two fsynced one-row commits',
          run: async () => percentile(await floorTrips(), share),
          reach: share === 0.5 ? 2 : null,
        },
      ],
    })),
  ];
}
