import assert from 'node:assert/strict';
import { tincan } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';
import { waitFor } from '../harness/wait-for.ts';

scenario('a name that cannot be had: what is wrong, and what to do', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
  ]);
  await ada.connected();
  await ada.knows('ben');
  const claim = (name: string) =>
    tincan(['name', 'claim', name], { signal, env: { TINCAN_HOME: ada.dataDir } });
  for (const [name, exit, said] of [
    ['ben', 1, /ben is taken/],
    ['BEN', 1, /is taken/],
    ['a'.repeat(33), 2, /32/],
    ['ﬁn', 2, /NFKC|normal/i],
    ['аda', 2, /script/],
    ['a b', 2, /U\+0020/],
    [ben.peerId, 2, /peer id|long/i],
  ] as const) {
    const { code, stderr } = await claim(name);
    assert.match(stderr, said, name);
    assert.ok(stderr.trimEnd().split('\n').length >= 2, `${name}: no word on what to do: ${stderr}`);
    assert.equal(code, exit, `${name}: ${stderr}`);
  }
  await assert.rejects(ada.client.call('claimName', { name: 'ben' }, { signal }), {
    name: 'ControlError',
    code: 'conflict',
    field: 'name',
  });
  assert.equal((await ada.client.call('identity', {}, { signal })).name, null);
  assert.equal((await claim('ada')).code, 0);
});

scenario('a daemon whose configured name is taken runs without one, and says so', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const ben = await town.daemon('ben', { name: 'ben', bootstrap: [phonebook] });
  await waitFor(
    'ben to have the name',
    async () => (await ben.client.call('identity', {}, { signal })).name === 'ben',
    {
      signal,
    },
  );
  const late = await town.daemon('late', { name: 'ben', bootstrap: [phonebook] });
  await waitFor(
    'the daemon to say that the name is taken',
    async () => {
      const { bootstrap, warnings } = await late.client.call('status', {}, { signal });
      return /taken/.test([bootstrap[0]?.detail, ...warnings].join(' '));
    },
    { signal },
  );
  await late.send(ben.peerId, 'works all the same', 'delivered');
  assert.equal((await late.client.call('identity', {}, { signal })).name, null);
});

scenario('a released name can be claimed by somebody else; who pinned it is warned', async (town) => {
  const { signal } = town;
  const phonebook = await town.bootstrap();
  const [ada, ben, cleo] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [phonebook] }),
    town.daemon('ben', { name: 'ben', bootstrap: [phonebook] }),
    town.daemon('cleo', { bootstrap: [phonebook] }),
  ]);
  await cleo.connected();
  await ada.knows('ben');
  await ada.client.call('addContact', { who: 'ben' }, { signal });
  await ben.client.call('releaseName', {}, { signal });
  await cleo.client.call('claimName', { name: 'ben' }, { signal });
  // The pin holds: what is sent to ben goes to the ben that ada knows, and a lookup warns. From then on the user decides.
  const sent = await ada.client.call('send', { to: 'ben', text: 'still you?' }, { signal });
  assert.equal(sent.to, ben.peerId);
  const found = await ada.client.call('whois', { who: 'ben' }, { signal });
  assert.equal(found.peerId, ben.peerId);
  assert.equal(found.keyChange?.claimed, cleo.peerId);
  assert.match(found.warning ?? '', new RegExp(cleo.peerId));
  await assert.rejects(ada.client.call('send', { to: 'ben', text: 'still you?' }, { signal }), {
    code: 'conflict',
    field: 'to',
  });
  const { warnings } = await ada.client.call('status', {}, { signal });
  assert.match(warnings.join('\n'), new RegExp(cleo.peerId));
});
