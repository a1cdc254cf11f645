import assert from 'node:assert/strict';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

scenario('health, metrics and the phonebook, read-only', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const base = phonebook.program.ready.http;
  const ada = await town.daemon('ada', { name: 'ada', bootstrap: [phonebook] });
  await town.daemon('shy', { name: 'shy', bootstrap: [phonebook], args: ['--unlisted'] });
  const get = async (path: string) => {
    const response = await fetch(base + path, { signal });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  assert.deepEqual(await get('/health'), { status: 200, body: { status: 'ok' } });
  assert.equal((await get('/ready')).status, 200);
  const shown = await waitFor(
    'ada in the phonebook',
    async () => {
      const answer = await get('/v1/peers/ada');
      return answer.status === 200 && answer.body;
    },
    { signal },
  );
  assert.deepEqual([shown['name'], shown['peerId'], shown['online']], ['ada', ada.peerId, true]);
  await waitFor('shy in the phonebook', async () => (await get('/v1/peers/shy')).status === 200, { signal });

  const { peers } = (await get('/v1/peers')).body as { peers: { name: string }[] };
  assert.deepEqual(
    peers.map(({ name }) => name),
    ['ada'],
  );
  assert.equal((await get('/v1/peers/nobody')).status, 404);
  assert.equal((await get('/v1/peers?limit=0')).status, 400);
  for (const method of ['POST', 'PUT', 'DELETE']) {
    assert.equal((await fetch(`${base}/v1/peers/ada`, { method, signal })).status, 404);
  }
  const metrics = await (await fetch(`${base}/metrics`, { signal })).text();
  assert.match(metrics, /^# TYPE tincan_names gauge$/m);
  assert.match(metrics, /^tincan_names 2$/m);

  await ada.program.stop();
  await waitFor('ada to be away', async () => (await get('/v1/peers/ada')).body['online'] === false, {
    signal,
  });
});
