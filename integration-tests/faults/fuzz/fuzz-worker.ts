import { parentPort, workerData } from 'node:worker_threads';
import { fuzzDecoder } from './fuzz-decoder.ts';
import { SHARED_HEAD } from './fuzz-shared.ts';
import type { FuzzJob } from './fuzz-shared.ts';
import { allDecoders } from './fuzz-subjects.ts';

const shared = workerData as SharedArrayBuffer;
const head = new Int32Array(shared, 0, SHARED_HEAD);
const body = new Uint8Array(shared, SHARED_HEAD * Int32Array.BYTES_PER_ELEMENT);

const decoders = await allDecoders();
const port = parentPort!;
port.on('message', ({ decoder: name, ...run }: FuzzJob) => {
  const decoder = decoders.find((each) => each.name === name)!;
  const onInput = (input: Uint8Array, count: number): void => {
    body.set(input);
    head[1] = input.byteLength;
    Atomics.store(head, 0, count);
  };
  void fuzzDecoder(decoder, { ...run, onInput }).then((report) => port.postMessage(report));
});
