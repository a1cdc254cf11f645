import { readFile, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../harness/program.ts';
import type { FigureRow } from './parts/part.ts';

const PAGE = join(ROOT, 'docs/reliability.md');

/** Where the figures stand in the page. */
const BEGIN = '<!-- figures of npm run test:faults: begin -->';
const END = '<!-- figures of npm run test:faults: end -->';

/** Puts the figures of a run into docs/reliability.md, in the place of those before. */
export async function writeFigures(
  parts: readonly (readonly [name: string, rows: readonly FigureRow[]])[],
  { seed, minutes }: { seed: number; minutes: number },
): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${PAGE} has no place for figures`);
  const rows = parts.flatMap(([part, figures]) =>
    figures.map(({ name, value, asked = '' }, index) => [index === 0 ? part : '', name, value, asked]),
  );
  const head = ['part', 'figure', 'value', 'asked'];
  const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  const machine = `${cpus().length} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const made = `Made by \`npm run test:faults -- --minutes ${minutes} --seed ${seed} --figures\` on ${new Date().toISOString().slice(0, 10)}, with ${machine}.`;
  await writeFile(PAGE, `${page.slice(0, begin)}${BEGIN}\n\n${made}\n\n${table}\n\n${page.slice(end)}`);
}
