import assert from 'node:assert/strict';
import { access, glob, readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { flagOf, SETTINGS } from '../cli/settings.ts';
import { tincan } from './harness/command.ts';
import { ROOT } from './harness/program.ts';

async function documents(): Promise<string[]> {
  const found: string[] = [];
  const exclude = new Set(['node_modules', 'dist', '.git', '.tincan-demo']);
  for await (const file of glob('**/*.md', { cwd: ROOT, exclude: (name) => exclude.has(name) })) {
    found.push(join(ROOT, file));
  }
  return found;
}

/** A document without its code, where brackets mean something else. */
function proseOf(text: string): string {
  return text.replaceAll(/^( *)(`{3,}).*?^ *\2 *$/gms, '').replaceAll(/`[^`\n]*`/g, 'code');
}

/** A heading's anchor, as the usual renderers make it. */
function anchorsOf(text: string): Set<string> {
  const headings = text.replaceAll(/^( *)(`{3,}).*?^ *\2 *$/gms, '').matchAll(/^#{1,6} +(.+?) *#*$/gm);
  return new Set(
    Array.from(headings, ([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

void test('links between documents lead somewhere', async () => {
  const broken: string[] = [];
  for (const file of await documents()) {
    for (const [, link] of proseOf(await readFile(file, 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/i.test(link!)) continue;
      const [path = '', anchor] = link!.split('#');
      const target = path === '' ? file : resolve(dirname(file), decodeURIComponent(path));
      const there = await access(target).then(
        () => true,
        () => false,
      );
      const isAnchor =
        anchor === undefined || !there || anchorsOf(await readFile(target, 'utf8')).has(anchor);
      if (!there || !isAnchor) broken.push(`${relative(ROOT, file)}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

void test('the README knows every setting, by flag and variable, and no other', async () => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const rows = Array.from(
    readme.matchAll(/^\| *`--(?:no-)?([a-z-]+)` *\| *`(TINCAN_[A-Z_]+)`/gm),
    ([, flag, variable]) => `--${flag} ${variable}`,
  );
  assert.deepEqual(
    [...new Set(rows)].toSorted(),
    SETTINGS.map((setting) => `${flagOf(setting)} ${setting.env}`).toSorted(),
  );
});

void test('the README knows every command, and no other', async (t) => {
  const { stdout } = await tincan(['--help'], { signal: t.signal });
  const commands = new Set(
    Array.from(stdout.matchAll(/^ {2}([a-z]+)(?= |$)/gm), ([, name]) => name!).filter(
      (name) => name !== 'done',
    ),
  );
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const named = new Set(Array.from(readme.matchAll(/^\| *`tincan ([a-z]+)/gm), ([, name]) => name!));
  assert.ok(named.size > 10);
  assert.deepEqual([...named].toSorted(), [...commands].toSorted());
});

void test('the README knows every exit code', async (t) => {
  const { stdout } = await tincan(['--help'], { signal: t.signal });
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const printed = Array.from(stdout.matchAll(/^ {2}(\d) {2}/gm), ([, code]) => code!);
  assert.deepEqual(
    Array.from(readme.matchAll(/^\| *(\d) +\|/gm), ([, code]) => code!),
    printed,
  );
});

void test('every wire protocol has its specification beside it', async () => {
  const folders = await readdir(join(ROOT, 'protocols'), { recursive: true });
  const without = folders
    .filter((file) => file.endsWith('.proto'))
    .map((file) => dirname(file))
    .filter((folder) => !folders.includes(join(folder, 'README.md')));
  assert.deepEqual(without, []);
});
