import type { Command } from 'commander';

/** By command, what people type: the first line is the one they need most. */
const EXAMPLES: Record<string, readonly string[]> = {
  daemon: [
    'tincan daemon --name ada --bootstrap /dns/town.example/tcp/4001/p2p/12D3KooW…',
    'tincan daemon --passphrase-file /run/secrets/tincan',
  ],
  'passphrase change': ['tincan passphrase change', 'tincan passphrase change --no-passphrase'],
  backup: ['tincan backup ada.backup'],
  restore: ['tincan restore ada.backup', 'tincan restore ada.backup --data-dir ~/elsewhere'],
  lock: ['tincan lock'],
  unlock: ['tincan unlock', 'tincan unlock --passphrase-file /run/secrets/tincan'],
  invite: ['tincan invite', 'tincan invite --reusable --days 7'],
  'invite revoke': ['tincan invite revoke 3'],
  verify: [
    'tincan verify ben',
    'tincan verify ben --confirm',
    "tincan verify ben --code 'tincan-verify:1/…' --confirm",
  ],
  trust: ['tincan trust ben', 'tincan trust ben --keep'],
  add: ['tincan add ben', "tincan add 'tincan:12D3KooW…?n=ben&t=…' --as 'Ben from work'"],
  accept: ['tincan accept ben', "tincan accept 5zV6xDyeq --as 'Ben from work'"],
  decline: ['tincan decline mallory'],
  block: ['tincan block mallory'],
  unblock: ['tincan unblock mallory'],
  send: ["tincan send ben 'Hello Ben'", 'git log -1 | tincan send ben - --wait delivered --timeout 1m'],
  search: ['tincan search midnight swan', 'tincan search midnight --with ben --limit 5'],
};

/** Ends the help of commands with examples. */
export function addExamples(program: Command): void {
  for (const [path, lines] of Object.entries(EXAMPLES)) {
    let command: Command | undefined = program;
    for (const name of path.split(' ')) command = command?.commands.find((each) => each.name() === name);
    command?.addHelpText('after', ['', 'Examples:', ...lines.map((line) => `  ${line}`)].join('\n'));
  }
}
