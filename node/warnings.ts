/** The newest are what matters; a status with more would not be read. */
const MAX_WARNINGS = 20;

/** What the user should know, for the status: each once, the newest last. */
export function warningList(onWarning: (message: string) => void): {
  readonly list: readonly string[];
  add: (message: string) => void;
} {
  const list: string[] = [];
  return {
    list,
    add(message) {
      const at = list.indexOf(message);
      if (at !== -1) list.splice(at, 1);
      list.push(message);
      if (list.length > MAX_WARNINGS) list.shift();
      if (at === -1) onWarning(message);
    },
  };
}
