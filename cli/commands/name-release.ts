import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan name release`: gives the name back. */
export async function run({ client, json, print }: CommandContext): Promise<number> {
  const identity = await client.call('releaseName', {});
  print(json ? safeJson(identity) : 'Your name is released; your peer id stays.');
  return EXIT.ok;
}
