import assert from 'node:assert/strict';
import { scenario } from '../harness/scenario.ts';

const MESSAGES = 5000;

scenario(`${MESSAGES} messages over one request, each answered as its state changes`, async (town) => {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada'), town.daemon('ben')]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });

  const stream = ada.client.sendStream({ signal });
  const states = new Map<number, string[]>();
  const reading = (async () => {
    for await (const batch of stream.batches) {
      for (const answer of batch) {
        assert.ok(!('error' in answer), JSON.stringify(answer));
        const ref = answer.ref as number;
        states.set(ref, [...(states.get(ref) ?? []), answer.state]);
      }
    }
  })();
  for (let ref = 0; ref < MESSAGES; ref++) {
    if (!stream.send({ to: 'ben', text: `number ${ref}`, ref })) await stream.drain();
  }
  stream.end();
  await reading;
  assert.equal(states.size, MESSAGES);
  for (const [ref, seen] of states) {
    assert.equal(seen[0], 'queued', `message ${ref}: ${seen.join(', ')}`);
    assert.equal(seen.at(-1), 'delivered', `message ${ref}: ${seen.join(', ')}`);
    assert.equal(new Set(seen).size, seen.length, `message ${ref}: ${seen.join(', ')}`);
  }
  assert.deepEqual(
    await ben.texts(MESSAGES),
    Array.from({ length: MESSAGES }, (_, ref) => `number ${ref}`),
  );
});

scenario('a line that is wrong is answered with what is wrong, and the others go on', async (town) => {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada'), town.daemon('ben')]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
  const stream = ada.client.sendStream({ signal });
  stream.send({ to: 'ben', text: 'first', ref: 'a' });
  stream.send({ to: 'nobody-at-all', text: 'lost', ref: 'b' });
  stream.send({ to: 'ben', text: '', ref: 'c' });
  stream.send({ to: 'ben', text: 'last', ref: 'd' });
  stream.end();
  const last: Record<string, string> = {};
  for await (const answer of stream) {
    last[String(answer.ref)] =
      'error' in answer ? `${answer.error.code} ${answer.error.field}` : answer.state;
  }
  assert.deepEqual(last, { a: 'delivered', b: 'not-found to', c: 'invalid text', d: 'delivered' });
  assert.deepEqual(await ben.texts(2), ['first', 'last']);
});
