import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

/**
 * `npm run build`: compiles the program into `dist/`, which is what the package holds. Node does not strip types under
 * node_modules, so an installed package can't run the sources. What is built follows from the files that
 * `tsconfig.build.json` names, the command and the workers, which are opened by URL: tests and their helpers are in reach
 * of none of them.
 */
const root = resolve(import.meta.dirname, '..');

await rm(join(root, 'dist'), { recursive: true, force: true });
const compiler = createRequire(import.meta.url).resolve('typescript/package.json');
const { bin } = JSON.parse(await readFile(compiler, 'utf8')) as { bin: { tsc: string } };
const child = spawn(
  process.execPath,
  [resolve(compiler, '..', bin.tsc), '--project', join(import.meta.dirname, 'tsconfig.build.json')],
  { stdio: 'inherit' },
);
const [code] = (await once(child, 'exit')) as [number | null];
process.exitCode = code ?? 1;
