import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from '../harness/command.ts';
import { ROOT } from '../harness/program.ts';
import { measure } from './figure.ts';
import type { Figure, Measured } from './figure.ts';
import { footprints } from './footprint.ts';
import { liveFigures } from './live.ts';
import { mailboxPathFigures } from './mailbox-path.ts';
import { mailboxFigures } from './mailbox.ts';
import { sealingFigures } from './sealing.ts';
import { startupFigures } from './startup.ts';
import { markdown, table } from './table.ts';
import { unlockFigures } from './unlock.ts';

/*
 * npm run bench -- [--only live,mailbox,mailbox-path,sealing,startup,unlock,footprint] [--runs 5] [--json bench-results.json] [--markdown FILE]
 *
 * Builds the package's programs and starts them, measures each figure in turn with its floors, prints a table, writes a JSON file. `--markdown docs/figures.md` is how
 * that page was made.
 */

const GROUPS: Record<string, (stack: AsyncDisposableStack) => Promise<Figure[]>> = {
  live: liveFigures,
  mailbox: mailboxFigures,
  'mailbox-path': mailboxPathFigures,
  sealing: sealingFigures,
  startup: startupFigures,
  unlock: unlockFigures,
};

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: [...Object.keys(GROUPS), 'footprint'].join(',') },
    runs: { type: 'string', default: '5' },
    json: { type: 'string', default: 'bench-results.json' },
    markdown: { type: 'string' },
  },
});
const chosen = values.only.split(',');
const runs = Number(values.runs);

const built = await runCommand([process.execPath, join(ROOT, 'integration-tests/build.ts')], {
  signal: new AbortController().signal,
});
if (built.code !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`);

const measured: Measured[] = [];
for (const [name, open] of Object.entries(GROUPS)) {
  if (!chosen.includes(name)) continue;
  await using stack = new AsyncDisposableStack();
  for (const figure of await open(stack)) {
    const result = await measure(figure, runs, (turn) => {
      process.stderr.write(`${figure.name}: ${turn === 0 ? 'warming up' : `${turn} of ${runs}`}\n`);
    });
    measured.push(result);
  }
}
if (chosen.includes('footprint')) {
  process.stderr.write('memory and idle CPU\n');
  measured.push(...(await footprints()));
}

const machine = `${cpus().length} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
process.stdout.write(`${machine}; median of ${runs}\n\n${table(measured)}\n`);
await writeFile(values.json, `${JSON.stringify({ machine, runs, measured }, null, 2)}\n`);
if (values.markdown !== undefined) {
  const page = `# Figures

Made by \`npm run bench -- --markdown docs/figures.md\`, on ${new Date().toISOString().slice(0, 10)}, with ${machine}.

Each figure is measured in turn with its floors, in one run; the median of ${runs} turns after one that does not count (of
memory and CPU, one reading while all run at the same time). The ratio is Tincan's figure to the floor's. The programs
are the built ones, as an installed package runs them. [Where the time goes](performance.md) explains what is not reached.

${markdown(measured)}
`;
  await writeFile(values.markdown, page);
}
