import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import { MAX_FOUND } from '../protocols/control/routes.ts';
import { clientDataDir, findDaemon, noDaemonMessage } from './daemon-address.ts';
import { parseDuration } from './duration.ts';
import { describeError, EXIT, EXIT_HELP, exitCodeOf } from './exit-code.ts';
import { addExamples } from './help-examples.ts';
import { addSettingOptions, givenFlags } from './setting-options.ts';
import { readVersion } from './version.ts';
import type { ControlClient } from '../protocols/control/client.ts';
import type { CommandContext, CommandModule } from './command.ts';
import type { BackupFlags } from './commands/backup.ts';
import type { PassphraseFlags } from './commands/passphrase-change.ts';
import type { Program, SettingValue } from './settings.ts';

const WHO = 'a petname, a name, a peer id or an invite';
const ASKING = 'a name, a peer id or the end of one';
const BLOCKED = 'a petname, a name, a peer id or the end of one';

/** The `tincan` command. Resolves with the exit code; commands are loaded when they are called. */
export async function runProgram(args: string[]): Promise<number> {
  // Who pipes the output into `head` has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  let exitCode: number = EXIT.ok;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args.length === 0 && process.stdin.isTTY ? ['chat'] : args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError)
      return error.exitCode === 0 || args.length === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}

function buildProgram(exit: (code: number) => void): Command {
  const program = new Command('tincan')
    .description('Chat in which every person runs a node and messages travel straight from node to node.')
    .usage('COMMAND [OPTION]…')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [COMMAND]', 'print help for a command')
    .option('--data-dir <DIR>', 'the data directory that picks the daemon (TINCAN_HOME, default ~/.tincan)')
    .option('--config <FILE>', 'read settings from this file instead of config.toml in the data directory')
    .option('--json', 'print JSON')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXIT_HELP)
    .showHelpAfterError('(tincan COMMAND --help says more)')
    .exitOverride();

  /** A command that talks to the daemon. */
  function client<Options>(load: () => Promise<CommandModule<Options>>) {
    return async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1) as Command;
      const { dataDir: flag, json } = program.opts<{ dataDir?: string; json?: boolean }>();
      const dataDir = clientDataDir(flag, process.env);
      exit(
        await report(
          dataDir,
          async (context) => {
            const { run } = await load();
            return run(context, command.args, command.opts() as Options);
          },
          json === true,
        ),
      );
    };
  }

  /** A command that takes the settings of a program. */
  function configured(
    name: Program,
    load: () => Promise<{
      run: (
        program: Program,
        flags: Map<string, SettingValue>,
        options: { json: boolean },
      ) => Promise<number>;
    }>,
  ) {
    return async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1) as Command;
      const json = program.opts<{ json?: boolean }>().json === true;
      try {
        const { run } = await load();
        exit(await run(name, givenFlags(command, name), { json }));
      } catch (error) {
        process.stderr.write(`tincan: ${describeError(error)}\n`);
        exit(exitCodeOf(error));
      }
    };
  }

  const programCommand = () => import('./commands/run-program.ts');
  addSettingOptions(
    program.command('daemon').description('run your node, in the foreground').helpGroup('Programs:'),
    'daemon',
  ).action(configured('daemon', programCommand));
  addSettingOptions(
    program
      .command('bootstrap')
      .description('run a bootstrap node: phonebook, mailboxes, DHT server')
      .helpGroup('Programs:'),
    'bootstrap',
  ).action(configured('bootstrap', programCommand));
  program
    .command('demo')
    .description('start a bootstrap node, a daemon and an echo bot here, and chat')
    .option('--tour', 'play a scripted tour instead')
    .helpGroup('Programs:')
    .action(async (options: { tour?: boolean }) => {
      const { run } = await import('./commands/demo.ts');
      exit(await run({ tour: options.tour === true }));
    });
  const config = program
    .command('config')
    .description('show the settings and where each comes from')
    .helpGroup('Programs:');
  const showConfig = () => import('./commands/config.ts');
  addSettingOptions(
    config.command('daemon', { isDefault: true }).description('of tincan daemon (the default)'),
    'daemon',
  ).action(configured('daemon', showConfig));
  addSettingOptions(config.command('bootstrap').description('of tincan bootstrap'), 'bootstrap').action(
    configured('bootstrap', showConfig),
  );

  program
    .command('doctor')
    .description('look over a data directory while nothing runs on it')
    .option('--repair', 'make a new store of what can be read of a damaged one, which is kept')
    .option('--start-empty', 'with --repair: begin anew where nothing can be read')
    .option('--passphrase-file <FILE>', 'read the passphrase from the first line of this file')
    .option('--no-passphrase', 'with --repair, of a store that is not sealed yet: use no passphrase')
    .helpGroup('Programs:')
    .action(async ({ repair, startEmpty }: { repair?: boolean; startEmpty?: boolean }, command: Command) => {
      const json = program.opts<{ json?: boolean }>().json === true;
      try {
        const { run } = await import('./commands/doctor.ts');
        const options = { repair: repair === true, startEmpty: startEmpty === true, json };
        exit(await run(givenFlags(command, 'daemon'), options));
      } catch (error) {
        process.stderr.write(`tincan doctor: ${describeError(error)}\n`);
        exit(exitCodeOf(error));
      }
    });

  program
    .command('passphrase')
    .description('change what protects the data directory')
    .helpGroup('Programs:')
    .command('change')
    .description('choose another passphrase, while the daemon runs or not')
    .option(
      '--passphrase-file <FILE>',
      'read the old one from the first line of this file (TINCAN_PASSPHRASE)',
    )
    .option('--new-passphrase-file <FILE>', 'the same for the new one (TINCAN_NEW_PASSPHRASE)')
    .option('--no-passphrase', 'do without one from now on')
    .action(async (flags: PassphraseFlags) => {
      const { run } = await import('./commands/passphrase-change.ts');
      exit(await run(program.opts<{ dataDir?: string }>().dataDir, flags));
    });

  /** Where a data directory is, and what protects it. */
  const flagsOf = (own: [key: string, value: SettingValue | undefined][] = []): Map<string, SettingValue> => {
    const { dataDir, config } = program.opts<{ dataDir?: string; config?: string }>();
    const given = [['data_dir', dataDir], ['config', config], ...own] as const;
    return new Map(given.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));
  };
  const isJson = (): { json: boolean } => ({ json: program.opts<{ json?: boolean }>().json === true });
  program
    .command('backup')
    .argument('<FILE>', 'where to write it')
    .description('write everything to one sealed file, while the daemon runs or not')
    .option(
      '--passphrase-file <FILE>',
      "read the backup's own passphrase from the first line of this file (TINCAN_BACKUP_PASSPHRASE)",
    )
    .option('--force', 'replace a backup that is there')
    .helpGroup('Programs:')
    .action(async (file: string, flags: BackupFlags) => {
      const { run } = await import('./commands/backup.ts');
      exit(await run(file, flagsOf(), flags, isJson()));
    });
  program
    .command('restore')
    .argument('<FILE>', 'a backup')
    .description('make a data directory of a backup; the other one must not run any more')
    .option(
      '--passphrase-file <FILE>',
      "read the backup's passphrase from the first line of this file (TINCAN_BACKUP_PASSPHRASE)",
    )
    .option(
      '--new-passphrase-file <FILE>',
      'the same for the passphrase of the new data directory (TINCAN_PASSPHRASE)',
    )
    .option('--no-passphrase', 'let no passphrase protect the new data directory')
    .helpGroup('Programs:')
    .action(async (file: string, flags: PassphraseFlags) => {
      const { run } = await import('./commands/restore.ts');
      const own = flagsOf([
        ['passphrase_file', flags.newPassphraseFile],
        ['passphrase', flags.passphrase === false ? false : undefined],
      ]);
      exit(await run(file, own, flags, isJson()));
    });

  program.commandsGroup('You:');
  program
    .command('status')
    .description('how your daemon is doing')
    .action(client(() => import('./commands/status.ts')));
  program
    .command('lock')
    .description('let your daemon forget its keys; it stays, and does nothing')
    .action(client(() => import('./commands/lock.ts')));
  program
    .command('unlock')
    .option(
      '--passphrase-file <FILE>',
      'read the passphrase from the first line of this file (TINCAN_PASSPHRASE)',
    )
    .description('give your locked daemon its passphrase')
    .action(client(() => import('./commands/unlock.ts')));
  program
    .command('id')
    .description('who you are')
    .action(client(() => import('./commands/id.ts')));
  const name = program.command('name').description('claim or release your name');
  name
    .command('claim')
    .argument('<NAME>')
    .description('claim a name at every phonebook in reach')
    .action(client(() => import('./commands/name-claim.ts')));
  name
    .command('release')
    .description('give your name back')
    .action(client(() => import('./commands/name-release.ts')));
  const invite = program
    .command('invite')
    .option('--reusable', 'for several people; else it is for the first who comes')
    .addOption(
      new Option('--days <N>', 'how long somebody can come with it').argParser(limitUpTo(366)).default(30),
    )
    .description('make an invite to hand to a friend')
    .action(client(() => import('./commands/invite.ts')));
  invite
    .command('revoke')
    .argument('<ID>', 'its number in tincan invites')
    .description('take an invite back')
    .action(client(() => import('./commands/invite-revoke.ts')));
  program
    .command('invites')
    .description('the invites that somebody can still come with')
    .action(client(() => import('./commands/invites.ts')));

  program.commandsGroup('People:');
  program
    .command('peers')
    .description('who the phonebooks list')
    .option('--online', 'only those who are online')
    .action(client(() => import('./commands/peers.ts')));
  program
    .command('whois')
    .argument('<NAME>', WHO)
    .description('look somebody up')
    .action(client(() => import('./commands/whois.ts')));
  program
    .command('verify')
    .argument('<NAME>', WHO)
    .option('--code <TEXT>', 'compare this: the text of their QR code, or the 60 digits')
    .option('--confirm', 'mark their key as verified; with --code only if that matches')
    .option('--revoke', 'take the mark back')
    .description('compare keys with somebody, by a number or a QR code')
    .action(client(() => import('./commands/verify.ts')));
  program
    .command('trust')
    .argument('<NAME>', WHO)
    .option('--keep', 'stay with the key that is known here')
    .option('--accept', 'take the new key')
    .description('decide, when the key behind a name has changed')
    .action(client(() => import('./commands/trust.ts')));
  program
    .command('add')
    .argument('<NAME>', WHO)
    .option('--as <PETNAME>', 'what to call them here')
    .description('add a friend')
    .action(client(() => import('./commands/add.ts')));
  program
    .command('remove')
    .argument('<NAME>', WHO)
    .description('remove a friend; the history stays')
    .action(client(() => import('./commands/remove.ts')));
  program
    .command('contacts')
    .description('your friends')
    .action(client(() => import('./commands/contacts.ts')));
  program
    .command('requests')
    .description('strangers who want to write to you')
    .action(client(() => import('./commands/requests.ts')));
  program
    .command('accept')
    .argument('<NAME>', ASKING)
    .option('--as <PETNAME>', 'what to call them here')
    .description('make a friend of a stranger who has asked')
    .action(client(() => import('./commands/accept.ts')));
  program
    .command('decline')
    .argument('<NAME>', ASKING)
    .description('forget what a stranger asked for; they are not told')
    .action(client(() => import('./commands/decline.ts')));
  program
    .command('block')
    .argument('<NAME>', WHO)
    .description('take nothing more of somebody; the history stays')
    .action(client(() => import('./commands/block.ts')));
  program
    .command('unblock')
    .argument('<NAME>', BLOCKED)
    .description('take messages of somebody again whom you have blocked')
    .action(client(() => import('./commands/unblock.ts')));
  program
    .command('blocked')
    .description('whom you have blocked')
    .action(client(() => import('./commands/blocked.ts')));
  program
    .command('connect')
    .argument('<NAME>', WHO)
    .addOption(timeoutOption('how long to try'))
    .description('connect to somebody now')
    .action(client(() => import('./commands/connect.ts')));
  program
    .command('disconnect')
    .argument('<NAME>', WHO)
    .description('close the connection to somebody')
    .action(client(() => import('./commands/disconnect.ts')));

  program.commandsGroup('Messages:');
  program
    .command('send')
    .argument('<NAME>', WHO)
    .argument('<TEXT...>', 'the message; - reads standard input')
    .addOption(
      new Option('--wait <STATE>', 'return when the message is')
        .choices(['queued', 'stored', 'delivered'])
        .default('queued'),
    )
    .addOption(timeoutOption('how long to wait for that'))
    .description('send a message')
    .action(client(() => import('./commands/send.ts')));
  program
    .command('inbox')
    .option('--unread', 'only what you have not read, and mark it as read')
    .option('--follow', 'go on with messages as they arrive')
    .description('messages from others, in the order they arrived')
    .action(client(() => import('./commands/inbox.ts')));
  program
    .command('history')
    .argument('<NAME>', WHO)
    .addOption(new Option('--limit <N>', 'how many messages').argParser(limitUpTo(1000)).default(50))
    .option('--before <CURSOR>', 'only messages before this cursor')
    .description('a conversation')
    .action(client(() => import('./commands/history.ts')));
  program
    .command('search')
    .argument('<WORDS...>', 'words, or their beginnings; a message has to have all of them')
    .option('--with <NAME>', 'only the conversation with somebody')
    .addOption(new Option('--limit <N>', 'how many messages').argParser(limitUpTo(MAX_FOUND)).default(50))
    .option('--cursor <CURSOR>', 'go on where an earlier page ended')
    .description('look for words in all conversations, newest first')
    .action(client(() => import('./commands/search.ts')));
  program
    .command('chat')
    .argument('[NAME]', WHO)
    .description('chat, line by line')
    .action(client(() => import('./commands/chat.ts')));
  program
    .command('echo-bot', { hidden: true })
    .description('answer every message with its own text')
    .action(client(() => import('./commands/echo-bot.ts')));
  addExamples(program);
  return program;
}

/** Runs a client command and says what went wrong, if anything did. */
async function report(
  dataDir: string,
  run: (context: CommandContext) => Promise<number>,
  json: boolean,
): Promise<number> {
  let client: ControlClient | undefined;
  try {
    client = findDaemon(dataDir);
    return await run({
      dataDir,
      json,
      client,
      print: (line) => void process.stdout.write(`${line}\n`),
      note: (line) => void process.stderr.write(`${line}\n`),
    });
  } catch (error) {
    const message =
      error instanceof DaemonUnreachableError ? noDaemonMessage(dataDir, error) : describeError(error);
    process.stderr.write(`tincan: ${message}\n`);
    return exitCodeOf(error);
  } finally {
    client?.close();
  }
}

function timeoutOption(help: string): Option {
  return new Option('--timeout <TIME>', `${help}, as in 500ms, 10s, 2m`)
    .argParser((text) => {
      const ms = parseDuration(text);
      if (ms === undefined) throw new InvalidArgumentError('Expected a time such as 500ms, 10s or 2m.');
      return ms;
    })
    .default(10_000, '10s');
}

function limitUpTo(most: number): (text: string) => number {
  return (text) => {
    const limit = /^\d+$/.test(text) ? Number(text) : 0;
    if (limit < 1 || limit > most) throw new InvalidArgumentError(`Expected a number from 1 to ${most}.`);
    return limit;
  };
}
