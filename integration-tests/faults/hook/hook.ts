import { subscribe } from 'node:diagnostics_channel';
import { DatabaseSync } from 'node:sqlite';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BroadcastChannel, getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import { COMMIT_POINTS } from '../../../protocols/group-commit/commit-points.ts';
import type { CommitPoint } from '../../../protocols/group-commit/commit-points.ts';
import { ORDERS_VARIABLE } from './orders.ts';
import type { Answers, InitialOrders, Order, Trap } from './orders.ts';
import { sharedState } from './shared-state.ts';
import type { HookState } from './shared-state.ts';

/*
 * Preloaded into a program (`NODE_OPTIONS=--import=…`), and by Node into each of its threads: lets tests make it fail
 * from inside. The other end is `hooked.ts`.
 */

/** What SQLite says: SQLITE_IOERR_WRITE and SQLITE_FULL. */
const FAILURES = {
  'io-error': { errcode: 778, message: 'disk I/O error' },
  'disk-full': { errcode: 13, message: 'database or disk is full' },
} as const;

/** Collections in a row: what finalizers let go in one is found in the next. */
const COLLECTIONS = 3;

const SHARED = 'tincan:test-faults';

const shared = sharedState(getEnvironmentData(SHARED) as SharedArrayBuffer | undefined);

function moveClock(): void {
  const Actual = Date;
  const now = (): number => Actual.now() + shared.offsetMs;
  globalThis.Date = new Proxy(Actual, {
    apply: () => new Actual(now()).toString(),
    construct: (target, args: [], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    get: (target, key, receiver) => (key === 'now' ? now : (Reflect.get(target, key, receiver) as unknown)),
  });
}

/** The next occurrence of a trap at a point, if there is one. */
function sprung({ traps }: HookState, point: string): Trap | undefined {
  for (const [index, trap] of traps.entries()) {
    if ((trap.point !== '*' && trap.point !== point) || --trap.occurrence > 0) continue;
    traps.splice(index, 1);
    return trap;
  }
  return undefined;
}

/**
 * While a group of operations runs, which takes one turn without a break: which of its calls have changed something, and
 * how many rows the connection had changed after the last of them.
 */
let group: { changed: boolean[]; rows: number } | undefined;

function onPoint({ moment, whats }: CommitPoint): void {
  const actions = shared.change((state) =>
    [...new Set(whats)].map((what) => {
      const point = `${what}:${moment}`;
      const passed = (state.passed[point] ??= { count: 0, changing: 0 });
      passed.count++;
      // What is not of a group is a file.
      if (group?.changed.some((changed, call) => changed && whats[call] === what) ?? true) passed.changing++;
      const trap = sprung(state, point);
      if (trap?.action === 'io-error' || trap?.action === 'disk-full')
        state.failing = { errcode: trap.action, commits: trap.commits === undefined ? 1 : trap.commits };
      return trap?.action;
    }),
  );
  if (actions.includes('kill')) process.kill(process.pid, 'SIGKILL');
  if (actions.includes('stop')) process.kill(process.pid, 'SIGSTOP');
}

/** The failure that the commit under way has to meet. */
function failure(): Error | undefined {
  return shared.change((state) => {
    const { failing } = state;
    if (failing === undefined) return undefined;
    if (failing.commits !== null && --failing.commits <= 0) state.failing = undefined;
    const { errcode, message } = FAILURES[failing.errcode];
    return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode, errstr: message });
  });
}

/** Subscribers of a channel can't make its publisher fail, so commits are met where they are made. */
function watchCommits(): void {
  const { exec } = DatabaseSync.prototype;
  const countChanges = (database: DatabaseSync): number =>
    Number(database.prepare('SELECT total_changes() AS changes').get()!['changes']);
  DatabaseSync.prototype.exec = function (this: DatabaseSync, sql) {
    if (sql === 'BEGIN') {
      group = { changed: [], rows: countChanges(this) };
      queueMicrotask(() => {
        group = undefined;
      });
    }
    if (sql === 'COMMIT') {
      const failed = failure();
      if (failed !== undefined) throw failed;
    }
    exec.call(this, sql);
    if (group === undefined || !sql.endsWith('RELEASE call')) return;
    const rows = countChanges(this);
    // One that was rolled back has left nothing.
    group.changed.push(sql === 'RELEASE call' && rows > group.rows);
    group.rows = rows;
  };
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let time = 0; time < COLLECTIONS; time++) gc();
}

/** Asks the other threads to collect their garbage, and waits until they have. */
async function collectEverywhere(): Promise<void> {
  const others = shared.change(({ threads }) => threads) - 1;
  using garbage = new Garbage();
  await garbage.collected(others);
  collectGarbage();
}

/** The channel over which threads are asked. */
class Garbage implements Disposable {
  readonly #channel = new BroadcastChannel(SHARED);

  collected(others: number): Promise<void> {
    if (others === 0) return Promise.resolve();
    return new Promise((resolve) => {
      let left = others;
      this.#channel.onmessage = () => {
        if (--left === 0) resolve();
      };
      this.#channel.postMessage('collect');
    });
  }

  [Symbol.dispose](): void {
    this.#channel.close();
  }
}

function serveGarbage(): void {
  const channel = new BroadcastChannel(SHARED);
  channel.onmessage = () => {
    collectGarbage();
    channel.postMessage('collected');
  };
  channel.unref();
}

async function obey(order: Exclude<Order, { type: 'arm-at-start' }>): Promise<Answers[Order['type']]> {
  switch (order.type) {
    case 'arm': {
      const { type: _, ...trap } = order;
      shared.change(({ traps }) => traps.push(trap));
      return undefined;
    }
    case 'disarm':
      shared.change((state) => {
        state.traps = [];
        state.failing = undefined;
      });
      return undefined;
    case 'clock':
      shared.offsetMs = order.offsetMs;
      return undefined;
    case 'collect-garbage':
      await collectEverywhere();
      return process.memoryUsage();
    case 'points':
      return shared.change(({ passed }) => passed);
  }
}

function obeyOverIpc(): void {
  if (process.send === undefined) return;
  process.on('message', ({ id, order }: { id: number; order: Parameters<typeof obey>[0] }) => {
    void obey(order).then((answer) => process.send!({ id, answer }));
  });
  // Listening must not keep a finished program alive.
  process.channel!.unref();
}

const initial = process.env[ORDERS_VARIABLE];
if (initial !== undefined) {
  if (isMainThread) {
    const { offsetMs, traps } = JSON.parse(initial) as InitialOrders;
    shared.offsetMs = offsetMs;
    shared.change((state) => state.traps.push(...traps));
    setEnvironmentData(SHARED, shared.buffer);
    obeyOverIpc();
  } else serveGarbage();
  shared.change((state) => state.threads++);
  process.on('exit', () => shared.change((state) => state.threads--));
  moveClock();
  watchCommits();
  subscribe(COMMIT_POINTS, (point) => onPoint(point as CommitPoint));
}
