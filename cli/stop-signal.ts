/** A second signal that follows this soon is the same Ctrl-C, delivered by the terminal and by the launcher too. */
const SAME_SIGNAL_MS = 300;

export interface StopSignalInit {
  /** Ends the process with code 1 when it has not ended this long after it was told to stop. */
  graceMs?: number;
}

/**
 * An abort signal that fires on SIGINT, SIGTERM and SIGHUP, and when the program that started this one as its child
 * (with an IPC channel) is gone. A second signal ends the process at once.
 */
export function stopSignal({ graceMs }: StopSignalInit = {}): AbortSignal {
  const controller = new AbortController();
  let stoppedAt = 0;

  const stop = (): void => {
    if (controller.signal.aborted) return;
    stoppedAt = Date.now();
    controller.abort(new Error('stopped'));
    if (graceMs !== undefined) {
      setTimeout(() => {
        process.stderr.write('tincan: did not stop in time, ending now\n');
        process.exit(1);
      }, graceMs).unref();
    }
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted && Date.now() - stoppedAt > SAME_SIGNAL_MS) {
      process.exit(name === 'SIGINT' ? 130 : 143);
    }
    stop();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  if (process.channel !== undefined && process.channel !== null) {
    process.once('disconnect', stop);
    // Listening for it must not keep a finished program alive.
    process.channel.unref();
  }
  return controller.signal;
}
