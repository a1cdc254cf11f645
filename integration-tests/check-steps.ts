import { spawn } from 'node:child_process';
import { glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runTests } from './check-tests.ts';
import type { TestOutcome } from './check-tests.ts';

export const ROOT = resolve(import.meta.dirname, '..');

export interface Step {
  name: string;
  /** What it makes sure of. */
  about: string;
  /** How to run just this one. */
  alone: string;
  /** It uses one core for seconds, and may run beside others like it. */
  cheap?: true;
  run(): Promise<TestOutcome>;
}

/** All that `npm test` looks at, in this order. */
export const STEPS: readonly Step[] = [
  {
    name: 'format',
    about: 'files are formatted',
    alone: 'npm run format',
    cheap: true,
    run: () => tool('oxfmt', ['--check', '.']),
  },
  {
    name: 'lint',
    about: 'lint rules, among them who may import whom',
    alone: 'npm run lint',
    cheap: true,
    run: () => tool('oxlint', ['--type-aware', '--deny-warnings']),
  },
  {
    name: 'types',
    about: 'types',
    alone: 'npm run types',
    cheap: true,
    run: () => tool('tsc', ['--noEmit']),
  },
  {
    name: 'unused',
    about: 'no unused files, exports or dependencies',
    alone: 'npx knip',
    cheap: true,
    run: () => tool('knip', ['--no-progress', '--treat-config-hints-as-errors']),
  },
  {
    name: 'generated',
    about: 'generated files are current',
    alone: 'npm run generate && git diff --exit-code',
    cheap: true,
    run: compareGenerated,
  },
  tests('docs', 'documents against the code', ['integration-tests/docs.test.ts'], true),
  tests('unit', 'unit tests', ['{protocols,node,bootstrap,cli}/**/*.test.ts']),
  tests('integration', 'whole programs against each other', ['integration-tests/scenarios/*.test.ts']),
  tests('faults', 'real programs under faults and attacks', ['integration-tests/faults/**/*.test.ts']),
  tests('package', 'build, npm pack, install, old Node', ['integration-tests/package.test.ts']),
];

function tests(name: string, about: string, patterns: readonly string[], cheap?: true): Step {
  return {
    name,
    about,
    alone: `npm test -- --only ${name}`,
    ...(cheap === undefined ? undefined : { cheap }),
    run: () => runTests(ROOT, patterns),
  };
}

/** Runs a tool of the development dependencies; it counts as one test. */
async function tool(name: string, args: readonly string[]): Promise<TestOutcome> {
  const child = spawn(join(ROOT, 'node_modules/.bin', name), args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let report = '';
  const keep = (chunk: string): void => {
    report += chunk;
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const code = await new Promise<number | null>((done) => {
    child.on('error', (error) => {
      keep(`cannot run ${name}: ${error.message}; npm ci installs it\n`);
      done(1);
    });
    child.on('close', done);
  });
  return outcome(code === 0, report);
}

/** Generates the protobuf code anew, elsewhere, and compares. */
async function compareGenerated(): Promise<TestOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-generated-'));
  try {
    const generated = await tool('buf', ['generate', '--output', folder]);
    if (generated.failed > 0) return generated;
    const wrong: string[] = [];
    for (const file of await filesIn(folder)) {
      const committed = await readFile(join(ROOT, file), 'utf8').catch(() => undefined);
      if (committed !== (await readFile(join(folder, file), 'utf8'))) {
        wrong.push(`${file} is ${committed === undefined ? 'missing' : 'not what its .proto gives'}`);
      }
    }
    const current = new Set(await filesIn(folder));
    for (const file of await filesIn(join(ROOT, 'protocols'))) {
      if (!current.has(`protocols/${file}`)) wrong.push(`protocols/${file} has no .proto any more`);
    }
    return outcome(wrong.length === 0, [...wrong, 'npm run generate brings them up to date'].join('\n'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function filesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const file of glob('**/*_pb.ts', { cwd: folder })) found.push(file);
  return found;
}

function outcome(ok: boolean, report: string): TestOutcome {
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [], report: ok ? '' : report };
}
