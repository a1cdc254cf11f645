import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { ORDERS_VARIABLE } from './orders.ts';
import type { Answers, InitialOrders, Order } from './orders.ts';

const HOOK = new URL('./hook.ts', import.meta.url).href;

/** Orders to a program that has the hook of `hook.ts` in it, over all its restarts. */
export interface Hooked {
  /** What its environment has to have in it for the next start. What was armed is armed once. */
  environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
  /** Its process, spawned with an IPC channel. */
  attach(child: ChildProcess): void;
  /**
   * Gives an order and resolves with the answer. While the program does not run, what can be done at its next start is kept
   * for that.
   *
   * @throws Error when the program ends before it has answered, or does not run and can't be asked
   */
  tell<Given extends Order>(order: Given): Promise<Answers[Given['type']]>;
}

export function hooked(label: string): Hooked {
  const next: InitialOrders = { offsetMs: 0, traps: [] };
  const waiting = new Map<number, (answer: never) => void>();
  let child: ChildProcess | undefined;
  let nextId = 1;

  /** Keeps what is for the next start. True for what is for nothing else. */
  const keep = (order: Order, runs: boolean): boolean => {
    switch (order.type) {
      case 'arm':
      case 'arm-at-start': {
        const { type, ...trap } = order;
        if (type === 'arm' && runs) return false;
        next.traps.push(trap);
        return true;
      }
      case 'disarm':
        next.traps = [];
        return !runs;
      case 'clock':
        next.offsetMs = order.offsetMs;
        return !runs;
      default:
        if (!runs) throw new Error(`${label} does not run, and can't say its ${order.type}`);
        return false;
    }
  };

  return {
    environment(env) {
      const initial = JSON.stringify(next);
      next.traps = [];
      const options = [env['NODE_OPTIONS'] ?? '', `--import=${HOOK}`].join(' ').trim();
      return { ...env, NODE_OPTIONS: options, [ORDERS_VARIABLE]: initial };
    },

    attach(started) {
      child = started;
      started.on('message', ({ id, answer }: { id: number; answer: never }) => {
        waiting.get(id)?.(answer);
        waiting.delete(id);
      });
      started.once('exit', () => {
        if (child === started) child = undefined;
      });
    },

    async tell<Given extends Order>(order: Given): Promise<Answers[Given['type']]> {
      const told = child?.connected === true ? child : undefined;
      if (keep(order, told !== undefined) || told === undefined) return undefined as Answers[Given['type']];
      const id = nextId++;
      const answered = new Promise<Answers[Given['type']]>((resolve) => {
        waiting.set(id, resolve);
      });
      const over = new AbortController();
      // Not `exit`, at which the harness still takes it for running.
      const ended = once(told, 'close', { signal: over.signal }).then(() => {
        throw new Error(`${label} ended before it had answered to ${order.type}`);
      });
      // It may end while the order is on its way to it; `ended` says so.
      told.send({ id, order }, () => undefined);
      try {
        return await Promise.race([answered, ended]);
      } finally {
        waiting.delete(id);
        over.abort();
        ended.catch(() => undefined);
      }
    },
  };
}
