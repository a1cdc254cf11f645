import type { Bootstrap } from './town.ts';

/**
 * One figure of a bootstrap node's `/metrics`.
 *
 * @throws Error when there is none of that name
 */
export async function metric({ program }: Bootstrap, name: string): Promise<number> {
  const text = await (await fetch(`${program.ready.http}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`there is no metric ${name}`);
  return Number(value);
}
