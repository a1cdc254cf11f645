import assert from 'node:assert/strict';
import { tincan } from '../harness/command.ts';
import type { CommandResult } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

const PASSPHRASE = 'correct horse battery';

scenario(
  'search finds what was written before and after a restart, and nothing while locked',
  async (town) => {
    const { signal } = town;
    const [ada, ben, cem] = await Promise.all([
      town.daemon('ada', { passphrase: PASSPHRASE }),
      town.daemon('ben'),
      town.daemon('cem'),
    ]);
    for (const [name, friend] of [
      ['ben', ben],
      ['cem', cem],
    ] as const) {
      const { invite } = await friend.client.call('invite', {}, { signal });
      await ada.client.call('addContact', { who: invite, petname: name }, { signal });
    }
    await ada.send('ben', 'The swan flies at midnight', 'delivered');
    await ben.send(ada.peerId, 'Which swans? Café or lake?', 'delivered');
    await ada.send('cem', 'Nobody shall hear of the swan', 'delivered');
    await ada.program.stop();
    await ada.program.start();

    const find = async (query: {
      q: string;
      who?: string;
      limit?: number;
      cursor?: string;
    }): Promise<string[]> => {
      const { messages, notIndexed } = await ada.client.call('search', query, { signal });
      assert.equal(notIndexed, 0);
      return messages.map(({ text }) => text);
    };
    assert.deepEqual(await find({ q: 'swan' }), [
      'Nobody shall hear of the swan',
      'Which swans? Café or lake?',
      'The swan flies at midnight',
    ]);
    assert.deepEqual(await find({ q: 'swan', who: 'cem' }), ['Nobody shall hear of the swan']);
    assert.deepEqual(await find({ q: 'cafe SWANS' }), ['Which swans? Café or lake?']);
    await ada.send('ben', 'the lake', 'delivered');
    await ben.send(ada.peerId, 'then the lake it is', 'delivered');
    assert.deepEqual(await find({ q: 'the lake', who: 'ben', limit: 2 }), [
      'then the lake it is',
      'the lake',
    ]);

    const run = (...args: string[]): Promise<CommandResult> =>
      tincan([`--data-dir=${ada.dataDir}`, ...args], { signal, env: { TINCAN_PASSPHRASE: PASSPHRASE } });
    const printed = await run('search', 'swan', 'midnight');
    assert.deepEqual([printed.code, printed.stderr], [0, '']);
    assert.match(printed.stdout, /^\d\d:\d\d {2}you to ben {2}\| The swan flies at midnight\n$/);
    const withCem = await run('search', 'swan', '--with', 'cem', '--json');
    assert.deepEqual((JSON.parse(withCem.stdout) as { matches: unknown }).matches, [{ start: 25, end: 29 }]);
    for (const words of ['--', '"', '* (', 'a '.repeat(20)]) {
      const refused = await run('search', '--', words);
      assert.equal(refused.code, 2, words);
      assert.match(
        refused.stderr,
        /^tincan: (?:there is nothing to look for|a search takes at most 16 words)/,
      );
    }
    await assert.rejects(find({ q: 'swan', cursor: 'x' }), { code: 'invalid', field: 'cursor' });
    await assert.rejects(find({ q: 'x'.repeat(201) }), { code: 'invalid', field: 'q' });

    assert.equal((await run('lock')).code, 0);
    const locked = await run('search', 'swan');
    assert.deepEqual([locked.code, locked.stdout], [1, '']);
    assert.match(locked.stderr, /the daemon is locked/);
    assert.equal((await run('unlock')).code, 0);
    assert.match(
      (await run('search', 'lake', '--with', 'ben')).stdout,
      /then the lake it is\n.*\| the lake\n/s,
    );
  },
);
