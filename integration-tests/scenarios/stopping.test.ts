import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { scenario } from '../harness/scenario.ts';

/** The bound. */
const STOP_MS = 3000;

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  scenario(`${name} ends every program within three seconds, with code 0`, async (town) => {
    const { signal } = town;
    const phonebook = await town.bootstrap();
    const [ada, ben] = await Promise.all([
      town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
      town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
    ]);
    await ada.knows('ben');
    await ada.send('ben', 'hello', 'delivered');
    // In the middle of things: a stream of messages, and a reader of events.
    const events = ben.client.events({ signal });
    await events.opened;
    const reading = (async () => {
      for await (const event of events) assert.ok(event.cursor);
    })().catch((error: unknown) => assert.equal((error as Error).name, 'DaemonUnreachableError'));
    const stream = ada.client.sendStream({ until: 'queued', signal });
    const answers = (async () => {
      for await (const answer of stream) assert.ok(!('error' in answer));
    })().catch((error: unknown) => assert.equal((error as Error).name, 'DaemonUnreachableError'));
    for (let ref = 0; ref < 200; ref++) stream.send({ to: 'ben', text: 'on and on', ref });

    for (const { program } of [ben, phonebook, ada]) {
      const from = performance.now();
      const exit = await program.stop(name);
      const tookMs = performance.now() - from;
      assert.deepEqual(exit, { code: 0, signal: null }, program.label);
      assert.ok(tookMs < STOP_MS, `${program.label} took ${tookMs.toFixed(0)} ms`);
    }
    await Promise.all([reading, answers]);
    await assert.rejects(access(join(ada.dataDir, 'daemon.json')), { code: 'ENOENT' });
    await assert.rejects(access(join(ada.dataDir, 'control.sock')), { code: 'ENOENT' });
  });
}
