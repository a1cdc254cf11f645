import { readdir } from 'node:fs/promises';
import type { Decoder, Subject } from '../subject.ts';

const FOLDER = new URL('../subjects/', import.meta.url);

/** All subjects there are, by name. */
export async function allSubjects(): Promise<Subject[]> {
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.ts')).toSorted();
  return Promise.all(
    files.map(async (file) => ((await import(new URL(file, FOLDER).href)) as { subject: Subject }).subject),
  );
}

/** The decoders of all subjects, or the one that is called `only`, or those of the subject that is. */
export async function allDecoders(only?: string): Promise<Decoder[]> {
  const subjects = await allSubjects();
  const all = subjects.flatMap(({ decoders }) => decoders);
  if (only === undefined) return all;
  const named = all.filter(({ name }) => name === only);
  return named.length > 0 ? named : subjects.flatMap(({ name, decoders }) => (name === only ? decoders : []));
}
