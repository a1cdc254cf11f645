import type { Program } from '../../harness/program.ts';

/** Environment of a program whose heap is to be looked at. The inspector is on loopback, at a port of its own. */
export const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

/** Collections in a row: what finalizers let go in one is found in the next. */
const COLLECTIONS = 3;

/** Of a process started with `INSPECTED`. */
export interface Inspector extends Disposable {
  /** What the program itself still holds: bytes of JavaScript objects and of buffers after collecting the garbage. */
  held(): Promise<{ heapBytes: number; bufferBytes: number }>;
  /** Of the objects that are alive, how many each class has, the most first. */
  classes(): Promise<Map<string, number>>;
  /** The whole heap as a `.heapsnapshot`, piece by piece. */
  snapshot(onChunk: (chunk: string) => void): Promise<void>;
}

interface Reply {
  id?: number;
  method?: string;
  result?: Record<string, unknown>;
  error?: { message: string };
  params?: { chunk: string };
}

/** How V8 serialises a heap: a row of numbers for each object. */
interface Snapshot {
  snapshot: { meta: { node_fields: string[]; node_types: [string[]] } };
  nodes: number[];
  strings: string[];
}

/** @throws Error for a program that runs without `INSPECTED` */
export async function inspector({ label, log, pid }: Program): Promise<Inspector> {
  const started = log.slice(log.lastIndexOf(`--- started, process ${pid}`));
  const url = /Debugger listening on (ws:\S+)/.exec(started)?.[1];
  if (url === undefined) throw new Error(`${label} has no inspector`);
  const socket = new WebSocket(url);
  const waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  let nextId = 1;
  let onChunk: (chunk: string) => void = () => undefined;
  socket.addEventListener('message', ({ data }) => {
    const { id, method, result, error, params } = JSON.parse(data as string) as Reply;
    if (method === 'HeapProfiler.addHeapSnapshotChunk') onChunk(params!.chunk);
    if (id === undefined) return;
    if (error === undefined) waiting.get(id)?.resolve(result!);
    else waiting.get(id)?.reject(new Error(error.message));
    waiting.delete(id);
  });
  socket.addEventListener('close', ({ code, reason }) => {
    const error = new Error(`the inspector of ${label} has closed: ${code} ${reason}`);
    for (const call of waiting.values()) call.reject(error);
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => reject(new Error(`the inspector of ${label} does not answer`)));
  });
  const call = (method: string, params: object = {}): Promise<Record<string, unknown>> => {
    const id = nextId++;
    const answer = Promise.withResolvers<Record<string, unknown>>();
    waiting.set(id, answer);
    socket.send(JSON.stringify({ id, method, params }));
    return answer.promise;
  };
  const collect = async (): Promise<void> => {
    for (let time = 0; time < COLLECTIONS; time++) await call('HeapProfiler.collectGarbage');
  };

  const snapshot = async (take: (chunk: string) => void): Promise<void> => {
    onChunk = take;
    await call('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
  };

  return {
    async held() {
      await collect();
      const { result } = await call('Runtime.evaluate', {
        expression: 'JSON.stringify(process.memoryUsage())',
      });
      const { heapUsed, arrayBuffers } = JSON.parse(
        (result as { value: string }).value,
      ) as NodeJS.MemoryUsage;
      return { heapBytes: heapUsed, bufferBytes: arrayBuffers };
    },

    async classes() {
      const chunks: string[] = [];
      await snapshot((chunk) => void chunks.push(chunk));
      const heap = JSON.parse(chunks.join('')) as Snapshot;
      const { nodes, strings } = heap;
      const { node_fields: fields, node_types: types } = heap.snapshot.meta;
      const [type, name] = [fields.indexOf('type'), fields.indexOf('name')];
      const counts = new Map<string, number>();
      for (let at = 0; at < nodes.length; at += fields.length) {
        const kind = types[0][nodes[at + type]!]!;
        if (kind !== 'object' && kind !== 'closure' && kind !== 'native') continue;
        const key = `${kind} ${strings[nodes[at + name]!]!}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return new Map([...counts].sort(([, a], [, b]) => b - a));
    },

    snapshot,

    [Symbol.dispose]() {
      socket.close();
    },
  };
}
