import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { readHidden } from './hidden-input.ts';
import { askNew, askPassphrase } from './passphrase.ts';
import type { PassphraseInit } from './passphrase.ts';

/** A terminal at which somebody types one answer to each question. */
function terminal(...answers: string[]) {
  const input = new PassThrough();
  const raw: boolean[] = [];
  const shown: string[] = [];
  return {
    shown,
    raw,
    hidden: {
      input: Object.assign(input, { setRawMode: (on: boolean) => raw.push(on) }),
      output: {
        write(text: string): void {
          shown.push(text);
          const answer = text === '\n' ? undefined : answers.shift();
          if (answer !== undefined) setImmediate(() => input.write(answer));
        },
      },
    },
  };
}

const { signal } = new AbortController();

void test('a line is read without being shown, and can be corrected', async () => {
  for (const [typed, expected] of [
    ['secret\r', 'secret'],
    ['secr\u0008\u007Fret\n', 'seret'],
    ['wrong\u0015right\r', 'right'],
    ['grüße 😀\u007F!\r', 'grüße !'],
  ] as const) {
    const { hidden, shown, raw } = terminal(typed);
    assert.equal(await readHidden('Passphrase: ', hidden, { signal }), expected);
    assert.deepEqual(shown, ['Passphrase: ', '\n']);
    assert.deepEqual(raw, [true, false]);
  }
});

void test('Ctrl-C, Ctrl-D and a stop end it, and leave the terminal as it was', async () => {
  const arrow = terminal('\u001B[A');
  const typing = readHidden('? ', arrow.hidden, { signal });
  setImmediate(() => setImmediate(() => arrow.hidden.input.write('up\r')));
  assert.equal(await typing, 'up');
  for (const key of ['\u0003', '\u0004']) {
    const { hidden, raw } = terminal(`abc${key}`);
    await assert.rejects(readHidden('? ', hidden, { signal }), { name: 'CommandError', exitCode: 130 });
    assert.deepEqual(raw, [true, false]);
  }
  const { hidden, raw } = terminal();
  const stop = new AbortController();
  const asking = readHidden('? ', hidden, { signal: stop.signal });
  stop.abort(new Error('stopped'));
  await assert.rejects(asking, /stopped/);
  assert.deepEqual(raw, [true, false]);
});

void test('a new passphrase is typed twice, until both are the same', async () => {
  const notes: string[] = [];
  const note = (line: string): number => notes.push(line);
  const { hidden } = terminal('one of 8\r', 'other\r', 'the same\r', 'the same\r');
  assert.equal(await askNew(hidden, { note, signal }), 'the same');
  assert.equal(notes.length, 1);
  const typed = Array.from({ length: 6 }, (_, index) => `passphrase ${index}\r`);
  await assert.rejects(askNew(terminal(...typed).hidden, { note, signal }), { exitCode: 1 });
});

void test('a new passphrase that can be none is refused before it is typed again', async () => {
  const notes: string[] = [];
  const note = (line: string): number => notes.push(line);
  const { hidden, shown } = terminal('seven c\r', 'x'.repeat(1025) + '\r', '8 grüße!\r', '8 grüße!\r');
  assert.equal(await askNew(hidden, { note, signal }, 'New: '), '8 grüße!');
  assert.deepEqual(notes, [
    'A passphrase has 8 characters or more; this one has 7.',
    'A passphrase has at most 1024 bytes.',
  ]);
  assert.deepEqual(
    shown.filter((text) => text !== '\n'),
    ['New: ', 'New: ', 'New: ', 'The same again: '],
  );
  const short = terminal('1\r', '2\r', '3\r');
  await assert.rejects(askNew(short.hidden, { note, signal }), { exitCode: 1 });
  assert.equal(short.shown.filter((text) => text !== '\n').length, 3);
});

void test('a passphrase comes from a file before the environment, and from the environment before the terminal', async () => {
  const { hidden } = terminal('typed\r');
  const notes: string[] = [];
  const init: PassphraseInit = {
    file: null,
    variable: 'from the environment',
    none: false,
    terminal: hidden,
    note: (line) => notes.push(line),
    signal,
  };
  assert.equal(await askPassphrase('wrapped', init), 'from the environment');
  assert.equal(await askPassphrase('absent', init), 'from the environment');
  assert.equal(await askPassphrase('wrapped', { ...init, variable: '' }), 'typed');
  await assert.rejects(askPassphrase('bare', init), /none protects/);
  assert.equal(await askPassphrase('bare', { ...init, variable: undefined }), null);
  assert.equal(await askPassphrase('absent', { ...init, none: true }), null);
  assert.match(notes.join(), /whoever gets hold of this disk/);
  await assert.rejects(askPassphrase('wrapped', { ...init, none: true }), /do away with it/);
  const nobody = { ...init, variable: undefined, terminal: undefined };
  await assert.rejects(askPassphrase('wrapped', nobody), /--passphrase-file.*TINCAN_PASSPHRASE/);
  await assert.rejects(
    askPassphrase('absent', nobody),
    /--passphrase-file.*TINCAN_PASSPHRASE.*--no-passphrase/,
  );
  await assert.rejects(askPassphrase('wrapped', { ...init, file: '/nonexistent/file' }), /can't be read/);
});
