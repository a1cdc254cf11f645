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
  return (await chosen(only)).map(({ decoder }) => decoder);
}

/** The names of the same, and how many inputs each is to be given before the others get more. */
export async function leastInputs(only?: string): Promise<{ name: string; least: number }[]> {
  return (await chosen(only)).map(({ decoder: { name }, subject: { leastInputs: least = 0 } }) => ({
    name,
    least,
  }));
}

async function chosen(only: string | undefined): Promise<{ subject: Subject; decoder: Decoder }[]> {
  const all = (await allSubjects()).flatMap((subject) =>
    subject.decoders.map((decoder) => ({ subject, decoder })),
  );
  if (only === undefined) return all;
  const named = all.filter(({ decoder }) => decoder.name === only);
  return named.length > 0 ? named : all.filter(({ subject }) => subject.name === only);
}
