import { createInterface } from 'node:readline/promises';
import type { OperationResult } from '../../protocols/control/contract.ts';
import type { CommandContext } from '../command.ts';
import { displayName, friendlyTime } from '../display.ts';
import { EXIT, UsageError } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';
import { numberLines } from './verify.ts';

type Decision = 'keep' | 'accept';

/** `tincan trust NAME`: shows the two keys behind a name, and decides between them. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
  { keep = false, accept = false }: { keep?: boolean; accept?: boolean },
): Promise<number> {
  if (keep && accept) throw new UsageError('--keep and --accept exclude each other');
  const who = args[0]!;
  const change = await client.call('keyChange', { who });
  const given: Decision | undefined = keep ? 'keep' : accept ? 'accept' : undefined;
  if (given === undefined) {
    if (json) print(safeJson(change));
    else for (const line of bothKeys(change)) print(line);
  }
  const isAsked = given === undefined && !json && process.stdin.isTTY && process.stdout.isTTY;
  const decision = given ?? (isAsked ? await ask() : undefined);
  if (decision === undefined) {
    note(`Nothing is decided: nothing is sent to ${safeLine(change.name)} until you say --keep or --accept.`);
    return EXIT.failed;
  }
  const peer = await client.call('decideKeyChange', { who, decision, claimed: change.claimed });
  if (json) print(safeJson(peer));
  else if (decision === 'keep') print(`${safeLine(change.name)} stays ${safeLine(peer.peerId)}`);
  else {
    print(
      `${safeLine(change.name)} is ${safeLine(peer.peerId)} now, ${peer.verified ? 'verified' : 'not verified'}`,
    );
    note(`Compare keys with: tincan verify ${displayName(peer)}`);
  }
  return EXIT.ok;
}

function bothKeys(change: OperationResult<'keyChange'>): string[] {
  const key = (label: string, peerId: string, safetyNumber: string): string[] => [
    `  ${label}  ${peerId}`,
    ...numberLines(safetyNumber).map((line) => `         ${line}`),
    '',
  ];
  const known = safeLine(change.known);
  return [
    `The key behind the name ${safeLine(change.name)} has changed.`,
    '',
    ...key('known', change.knownVerified ? `${known}, verified` : known, change.knownSafetyNumber),
    ...key('new  ', safeLine(change.claimed), change.claimedSafetyNumber),
    `The new one is what the phonebook ${safeLine(change.phonebook)} has, seen ${friendlyTime(change.seenAt, new Date())}.`,
    `Either they have lost their key, or given the name up, or the phonebook lies. Ask them by another`,
    `way, and have them read out the number that "tincan verify" shows them for you.`,
  ];
}

/** Asks on the terminal. Anything but a clear answer decides nothing. */
async function ask(): Promise<Decision | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = (await terminal.question('\nType "keep" or "accept", or Enter to decide later: ')).trim();
    return answer === 'keep' || answer === 'accept' ? answer : undefined;
  } catch {
    // Ctrl-C or the end of the input.
    return undefined;
  } finally {
    terminal.close();
  }
}
