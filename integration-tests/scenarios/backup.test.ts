import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tincan } from '../harness/command.ts';
import type { CommandResult } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { environment, TINCAN } from '../harness/program.ts';
import { scenario } from '../harness/scenario.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

const PASSPHRASE = 'correct horse battery';
const NEW_PASSPHRASE = 'another machine, another one';
const BACKUP_PASSPHRASE = 'only for the file';
const WEEK_MS = 7 * 24 * 3600_000;

const backUp = (dataDir: string, file: string, { signal }: Town, env = {}): Promise<CommandResult> =>
  tincan(['backup', file, `--data-dir=${dataDir}`, '--json'], {
    signal,
    env: { TINCAN_BACKUP_PASSPHRASE: BACKUP_PASSPHRASE, ...env },
  });

const restore = (dataDir: string, file: string, { signal }: Town, env = {}): Promise<CommandResult> =>
  tincan(['restore', file, `--data-dir=${dataDir}`, '--json'], {
    signal,
    env: {
      TINCAN_BACKUP_PASSPHRASE: BACKUP_PASSPHRASE,
      TINCAN_USE_PASSPHRASE: 'true',
      TINCAN_PASSPHRASE: NEW_PASSPHRASE,
      ...env,
    },
  });

/** Ada, with a passphrase, and Ben, who are contacts under petnames, and have compared keys. */
async function friends(town: Town) {
  const { signal } = town;
  const node = await town.bootstrap({ hook: true });
  const options = { bootstrap: [node], hook: true };
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { ...options, name: 'ada', passphrase: PASSPHRASE }),
    town.daemon('ben', { ...options, name: 'ben' }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  await ada.client.call('addContact', { who: 'ben', petname: 'benny' }, { signal });
  await ben.client.call('addContact', { who: 'ada', petname: 'ada l' }, { signal });
  await ada.client.call('verify', { who: 'benny', verified: true }, { signal });
  await ada.send('benny', 'one', 'delivered');
  await ben.send('ada l', 'two', 'delivered');
  return { node, ada, ben };
}

/** The conversation as one end has it: who wrote what, and what became of it. */
async function conversation(daemon: Daemon, who: string, signal: AbortSignal): Promise<string[]> {
  const { messages } = await daemon.client.call('history', { who, limit: 100 }, { signal });
  return messages.map(
    ({ from, text, state }) => `${from === daemon.peerId ? `me, ${state}` : 'they'}: ${text}`,
  );
}

scenario(
  'a daemon goes on elsewhere from a backup made while it ran, when its machine is gone',
  async (town) => {
    const { signal, folder } = town;
    const { node, ada, ben } = await friends(town);
    const { peerId } = ada;
    const file = join(folder, 'ada.backup');
    const made = await backUp(ada.dataDir, file, town);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((JSON.parse(made.stdout) as { peerId: string }).peerId, peerId);
    const bytes = readFileSync(file);
    for (const text of ['one', 'benny', 'ada', peerId, ben.peerId, 'SQLite'])
      assert.ok(!bytes.includes(text), text);
    // The first machine goes on for a while.
    await ada.send('benny', 'after the backup', 'delivered');
    await ada.program.kill();
    await rm(ada.dataDir, { recursive: true });
    const waits = await ben.send('ada l', 'while you were gone', 'stored');

    const elsewhere = join(folder, 'elsewhere');
    const wrong = await restore(elsewhere, file, town, { TINCAN_BACKUP_PASSPHRASE: PASSPHRASE });
    assert.deepEqual(
      [wrong.code, wrong.stdout, wrong.stderr],
      [1, '', 'tincan restore: the passphrase of the backup is wrong\n'],
    );
    assert.ok(!existsSync(elsewhere));
    const restored = await restore(elsewhere, file, town);
    assert.equal(restored.code, 0, restored.stderr);
    assert.equal((JSON.parse(restored.stdout) as { peerId: string }).peerId, peerId);
    const again = await restore(elsewhere, file, town);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /not empty.*--data-dir/);

    const back = await town.daemon('ada elsewhere', {
      bootstrap: [node],
      name: 'ada',
      dataDir: elsewhere,
      passphrase: NEW_PASSPHRASE,
    });
    assert.equal(back.peerId, peerId);
    assert.match(
      (await back.client.call('status', {}, { signal })).warnings.join('\n'),
      /restored from a backup/,
    );
    const { contacts } = await back.client.call('contacts', {}, { signal });
    assert.deepEqual(
      contacts.map(({ petname, verified }) => [petname, verified]),
      [['benny', true]],
    );
    await ben.reached(waits, 'delivered');
    await back.send('benny', 'from elsewhere', 'delivered');
    assert.deepEqual(await conversation(back, 'benny', signal), [
      'me, delivered: one',
      'they: two',
      'they: while you were gone',
      'me, delivered: from elsewhere',
    ]);
    const inbox = await ben.inbox();
    assert.deepEqual(
      inbox.map(({ text, from, fromName }) => [text, from, fromName]),
      ['one', 'after the backup', 'from elsewhere'].map((text) => [text, peerId, 'ada l']),
    );
    await ben.send('ada l', 'welcome back', 'delivered');

    // It is one only until the next start.
    await back.program.stop();
    await back.program.start();
    assert.doesNotMatch(
      (await back.client.call('status', {}, { signal })).warnings.join('\n'),
      /restored from a backup/,
    );
    await back.send('benny', 'and on', 'delivered');
  },
);

scenario('a backup that is a week old: what waits and what is written arrives, once', async (town) => {
  const { signal, folder } = town;
  const { node, ada, ben } = await friends(town);
  await ada.program.stop();
  const file = join(folder, 'ada.backup');
  const wrong = await backUp(ada.dataDir, file, town, {
    TINCAN_USE_PASSPHRASE: 'true',
    TINCAN_PASSPHRASE: 'not it',
  });
  assert.deepEqual([wrong.code, wrong.stderr], [1, 'tincan backup: the passphrase is wrong\n']);
  assert.ok(!existsSync(file));
  const made = await backUp(ada.dataDir, file, town, {
    TINCAN_USE_PASSPHRASE: 'true',
    TINCAN_PASSPHRASE: PASSPHRASE,
  });
  assert.equal(made.code, 0, made.stderr);
  await ada.program.start();

  for (const program of [node.program, ada.program, ben.program])
    await program.tell({ type: 'clock', offsetMs: WEEK_MS });
  for (let day = 1; day <= 3; day++) {
    await ada.send('benny', `day ${day}`, 'delivered');
    await ben.send('ada l', `answer ${day}`, 'delivered');
  }
  await ben.program.stop();
  await ada.send('benny', 'in the mailbox', 'stored');
  await ada.program.kill();
  await rm(ada.dataDir, { recursive: true });
  await ben.program.start();
  await ben.send('ada l', 'while you were gone', 'stored');

  const restored = await restore(ada.dataDir, file, town, { TINCAN_PASSPHRASE: PASSPHRASE });
  assert.equal(restored.code, 0, restored.stderr);
  await ada.program.start();
  await ada.send('benny', 'from the backup', 'delivered');
  // The name, too, whose certificate has a number from before.
  const { name, certificates } = await ada.client.call('claimName', { name: 'ada' }, { signal });
  assert.deepEqual([name, certificates.length], ['ada', 1]);
  await ben.texts(6);
  assert.deepEqual((await ben.inbox()).map(({ text }) => text).toSorted(), [
    'day 1',
    'day 2',
    'day 3',
    'from the backup',
    'in the mailbox',
    'one',
  ]);
  // What Ben wrote since comes again; what Ada wrote since is only with Ben.
  await waitFor(
    'all that Ben wrote',
    async () => {
      const texts = await conversation(ada, 'benny', signal);
      return ['two', 'answer 1', 'answer 2', 'answer 3', 'while you were gone'].every((text) =>
        texts.includes(`they: ${text}`),
      );
    },
    { signal },
  );
  const texts = await conversation(ada, 'benny', signal);
  assert.equal(texts.length, 7, texts.join('\n'));
});

scenario('a restore that is killed on the way leaves no data directory', async (town) => {
  const { folder, signal } = town;
  const ada = await town.daemon('ada');
  await ada.program.stop();
  const file = join(folder, 'ada.backup');
  const made = await backUp(ada.dataDir, file, town);
  assert.equal(made.code, 0, made.stderr);
  const there = join(folder, 'there');
  const drafts = (): string[] => readdirSync(folder).filter((name) => name.startsWith('there.restoring-'));
  for (const delayMs of [0, 1, 3, 10, 30]) {
    const [command, ...args] = TINCAN;
    const child = spawn(command!, [...args, 'restore', file, `--data-dir=${there}`], {
      stdio: 'ignore',
      env: environment({ TINCAN_BACKUP_PASSPHRASE: BACKUP_PASSPHRASE }),
    });
    const ended = once(child, 'exit');
    await Promise.race([
      ended,
      waitFor('the restore to begin', () => Promise.resolve(drafts().length > 0 || existsSync(there)), {
        signal,
      }),
    ]);
    setTimeout(() => child.kill('SIGKILL'), delayMs);
    await ended;
    if (existsSync(there))
      assert.deepEqual(readdirSync(there).toSorted(), ['daemon.db', 'data.key', 'identity.key']);
    for (const name of ['there', ...drafts()]) await rm(join(folder, name), { recursive: true, force: true });
  }
  const whole = await restore(there, file, town, { TINCAN_USE_PASSPHRASE: 'false', TINCAN_PASSPHRASE: '' });
  assert.equal(whole.code, 0, whole.stderr);
  assert.equal((await town.daemon('there', { dataDir: there })).peerId, ada.peerId);
});
