import type { ControlClient } from '../protocols/control/client.ts';

/** What a command is given beside its arguments and options. */
export interface CommandContext {
  dataDir: string;
  /** Whether to print JSON instead of text for people. */
  json: boolean;
  /** The daemon of the data directory. Closed when the command ends. */
  client: ControlClient;
  /** A line on standard output. */
  print: (line: string) => void;
  /** A line on standard error, for people. */
  note: (line: string) => void;
}

/** A command's module: `run` gets the positional arguments and options and returns the exit code. */
export interface CommandModule<Options> {
  run: (context: CommandContext, args: readonly string[], options: Options) => Promise<number>;
}
