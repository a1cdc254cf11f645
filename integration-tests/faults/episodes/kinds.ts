import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { FaultKind } from './kind.ts';

/** All kinds of faults: one a file of `kinds/`. */
export async function loadKinds(): Promise<FaultKind[]> {
  const folder = join(import.meta.dirname, '../kinds');
  const kinds: FaultKind[] = [];
  for await (const file of glob('*.ts', { cwd: folder })) {
    if (file.endsWith('.test.ts')) continue;
    const module = (await import(pathToFileURL(join(folder, file)).href)) as { kind?: FaultKind };
    if (module.kind === undefined) throw new Error(`kinds/${file} exports no kind`);
    kinds.push(module.kind);
  }
  return kinds.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
