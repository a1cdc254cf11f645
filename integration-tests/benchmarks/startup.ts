import type { Figure } from './figure.ts';
import { openPrograms } from './programs.ts';

/** Two daemons that have never run, until the first message between them is delivered. */
export async function startupFigures(stack: AsyncDisposableStack): Promise<Figure[]> {
  const programs = stack.use(await openPrograms());
  const bootstrap = await programs.bootstrap();
  let turn = 0;
  return [
    {
      name: 'start to first message delivered, both daemons cold',
      unit: 'ms',
      higherIsBetter: false,
      async ours() {
        const start = performance.now();
        const [from, to] = await Promise.all([
          programs.daemon(`cold-a-${turn}`, bootstrap),
          programs.daemon(`cold-b-${turn}`, bootstrap),
        ]);
        turn++;
        const sent = await from.client.call('send', {
          to: to.program.ready.peerId,
          text: 'first',
          wait: 'delivered',
          timeoutMs: 30_000,
        });
        const took = performance.now() - start;
        if (sent.state !== 'delivered') throw new Error(`the first message is ${sent.state}`);
        await Promise.all([from.program.stop(), to.program.stop()]);
        return took;
      },
      floors: [],
    },
  ];
}
