import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { runCommand } from '../../harness/command.ts';
import { openLab } from './lab.ts';

const ECHO = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (text, { port, address }) => socket.send(text, port, address));
  socket.bind(9, () => console.log('bound'));`;

/**
 * Sends 200 packets, and prints how many came back, and how many different ones. A socket that nobody reads, on a busy
 * machine, holds 256 such packets, and drops those behind them.
 */
const COUNT = `
  const socket = require('node:dgram').createSocket('udp4');
  const got = [];
  const end = () => { console.log(JSON.stringify([got.length, new Set(got).size])); process.exit(); };
  let ending;
  socket.on('message', (text) => { got.push(String(text)); ending?.refresh(); });
  let sent = 0;
  const sending = setInterval(() => {
    for (let i = 0; i < 20; i++) socket.send(String(sent++), 9, process.argv[1]);
    if (sent === 200) { clearInterval(sending); ending = setTimeout(end, 250); }
  }, 5);`;

void test('packets between hosts vanish and come twice as they are told to', async (t) => {
  const { signal } = t;
  const opened = await openLab({ signal });
  if ('missing' in opened) {
    t.skip(`left out: ${opened.missing}`);
    return;
  }
  await using lab = opened;
  const [here, there] = [await lab.place('here'), await lab.place('there'), await lab.place('elsewhere')];
  const address = there.listen.split('/')[2]!;
  const [file, ...args] = [...there.prefix, process.execPath, '-e', ECHO];
  const echo = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => echo.kill());
  await once(echo.stdout, 'data');
  const count = async (): Promise<[number, number]> => {
    const { stdout } = await runCommand([...here.prefix, process.execPath, '-e', COUNT, address], { signal });
    return JSON.parse(stdout) as [number, number];
  };

  assert.deepEqual(await count(), [200, 200]);
  const [lift] = await Promise.all([
    lab.partition('there', 'here', { oneWay: true }),
    lab.partition('there', 'elsewhere'),
  ]);
  assert.deepEqual(await count(), [0, 0]);
  await lift();
  assert.deepEqual(await count(), [200, 200]);
  await lab.weather('here', { lost: 0.2, doubled: 0 });
  const [, some] = await count();
  assert.ok(some > 75 && some < 175, `of 200, ${some} came through a loss of 20% each way`);
  await lab.weather('here', { lost: 0, doubled: 0.2 });
  const [more, all] = await count();
  assert.ok(all === 200 && more > 225, `${all} different ones of ${more}`);
  await lab.heal();
  assert.deepEqual(await count(), [200, 200]);
  await assert.rejects(lab.partition('here', 'nowhere'), /no host for nowhere/);
});
