/** Runs one thing after the other for each key, whatever becomes of the one before; keys do not wait for each other. */
export function inTurn(): <Result>(key: string, act: () => Promise<Result>) => Promise<Result> {
  const turns = new Map<string, Promise<void>>();
  return (key, act) => {
    const done = (turns.get(key) ?? Promise.resolve()).then(act);
    const settled = done
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        if (turns.get(key) === settled) turns.delete(key);
      });
    turns.set(key, settled);
    return done;
  };
}
