import type { OperationResult } from '../../protocols/control/contract.ts';
import type { CommandContext } from '../command.ts';
import { displayName, friendlyTime } from '../display.ts';
import { EXIT, UsageError } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** Three lines of four groups can be read out and compared without losing one's place. */
const GROUPS_PER_LINE = 4;

/** `tincan verify NAME`: the safety number, and what becomes of comparing it. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
  { code, confirm = false, revoke = false }: { code?: string; confirm?: boolean; revoke?: boolean },
): Promise<number> {
  const who = args[0]!;
  if (revoke && (confirm || code !== undefined))
    throw new UsageError('--revoke goes with neither --confirm nor --code');

  if (code !== undefined) {
    const compared = await client.call('compareCode', { who, code });
    if (compared.result !== 'match') {
      if (json) print(safeJson(compared));
      const kind = compared.result === 'own' ? 'Nothing to compare' : 'MISMATCH';
      note(`${kind}: ${safeLine(compared.detail)}`);
      return EXIT.failed;
    }
    if (!confirm) {
      print(json ? safeJson(compared) : `Match: ${safeLine(compared.detail)}`);
      if (!json) note('Mark it as verified with --confirm');
      return EXIT.ok;
    }
  }
  const view =
    confirm || revoke
      ? await client.call('verify', {
          who,
          verified: confirm,
          ...(code === undefined ? undefined : { code }),
        })
      : await client.call('verification', { who });
  if (json) {
    print(safeJson(view));
    return EXIT.ok;
  }
  if (confirm || revoke) {
    print(
      `${displayName(view)} is ${view.verified ? 'verified' : 'not verified any more'}: ${safeLine(view.peerId)}`,
    );
    return EXIT.ok;
  }
  await show(view, who, print);
  if (view.keyChange !== null)
    note(
      `! the key has changed; this is about the known one. Decide with: tincan trust ${safeLine(view.keyChange.name)}`,
    );
  return EXIT.ok;
}

async function show(
  view: OperationResult<'verification'>,
  who: string,
  print: (line: string) => void,
): Promise<void> {
  const called = displayName(view);
  const since = view.verifiedAt === null ? '' : ` since ${friendlyTime(view.verifiedAt, new Date())}`;
  print(`${called}  ${safeLine(view.peerId)}  ${view.verified ? `verified${since}` : 'not verified'}`);
  print('');
  for (const line of numberLines(view.safetyNumber)) print(`  ${line}`);
  print('');
  if (process.stdout.isTTY) {
    const { renderUnicodeCompact } = await import('uqr');
    print(renderUnicodeCompact(view.code));
  }
  print(safeLine(view.code));
  if (view.verified || !process.stdout.isTTY) return;
  print(`\nCompare the number with ${called}, side by side or in a call where you know the voice.`);
  print(`If it is the same:  tincan verify ${safeLine(who)} --confirm`);
  print(
    `Or, with the text of the code on their screen:  tincan verify ${safeLine(who)} --code TEXT --confirm`,
  );
}

/** A safety number in lines of four groups. */
export function numberLines(safetyNumber: string): string[] {
  const groups = safeLine(safetyNumber).split(' ');
  const lines: string[] = [];
  for (let at = 0; at < groups.length; at += GROUPS_PER_LINE)
    lines.push(groups.slice(at, at + GROUPS_PER_LINE).join(' '));
  return lines;
}
