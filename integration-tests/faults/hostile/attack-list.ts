import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Attack } from './attack.ts';
import type { Subject } from '../subject.ts';
import { subjectAttacks } from './attack-subject.ts';

async function exportsOf<T>(folder: string, name: string): Promise<T[]> {
  const path = join(import.meta.dirname, folder);
  const files = await readdir(path).catch(() => []);
  const wanted = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).toSorted();
  const modules = await Promise.all(
    wanted.map(async (file) => (await import(join(path, file))) as Record<string, unknown>),
  );
  return modules.flatMap((module) => (name in module ? [module[name] as T] : []));
}

/** The attacks of `attacks/`, and those that each subject of `subjects/` is open to. In an order that does not change. */
export async function allAttacks(): Promise<Attack[]> {
  const attacks = await exportsOf<Attack>('../attacks', 'attack');
  const subjects = await exportsOf<Subject>('../subjects', 'subject');
  return [...attacks, ...subjects.flatMap(subjectAttacks)];
}
