/*
 * Preloaded into programs that open an old store: for them it is the day on which the store was made, so that
 * what was valid then still is.
 */

const { TINCAN_TEST_CLOCK_MS } = process.env;
const offsetMs = Number(TINCAN_TEST_CLOCK_MS);
const Actual = Date;
const now = (): number => Actual.now() + offsetMs;

globalThis.Date = new Proxy(Actual, {
  construct: (target, args: [], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
  get: (target, key, receiver) => (key === 'now' ? now : (Reflect.get(target, key, receiver) as unknown)),
});
