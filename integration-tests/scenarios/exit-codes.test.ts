import assert from 'node:assert/strict';
import { join } from 'node:path';
import { tincan } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

scenario('every way for a command to end has its exit code', async (town) => {
  const { signal } = town;
  const ada = await town.daemon('ada');
  const gone = await town.daemon('gone');
  const { invite } = await gone.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'gone' }, { signal });
  await gone.program.kill();

  const nowhere = join(town.folder, 'nowhere');
  for (const [args, exit, said] of [
    [['status'], 0, /^$/],
    [['send', 'gone', 'into the blue'], 0, /^$/],
    [['connect', 'gone', '--timeout', '2s'], 1, /gone/],
    [['send', 'gone', ''], 2, /empty/],
    [['send', 'gone', 'x'.repeat(48 * 1024 + 1)], 2, /49152/],
    [['history', 'gone', '--before', 'yesterday'], 2, /cursor/],
    [['whois', 'tincan:nonsense'], 2, /invite/],
    [['status', '--data-dir', nowhere], 3, /no daemon is running.*tincan daemon --data-dir/s],
    [['whois', 'nobody'], 4, /nobody.*(invite|peer id)/s],
    [['send', 'nobody', 'hello'], 4, /nobody/],
    [
      ['send', 'gone', 'wait for it', '--wait', 'delivered', '--timeout', '1s'],
      5,
      /not delivered within 1 s/,
    ],
  ] as const) {
    const { code, stderr } = await tincan([...args], { signal, env: { TINCAN_HOME: ada.dataDir } });
    const label = args.join(' ').slice(0, 60);
    assert.equal(code, exit, `${label}: ${stderr}`);
    assert.match(stderr, said, label);
  }
});
