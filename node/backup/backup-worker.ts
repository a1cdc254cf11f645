import { parentPort, workerData } from 'node:worker_threads';
import { BackupError } from './backup-error.ts';
import { packBackup } from './packing.ts';
import type { Packing } from './packing.ts';

// The thread in which a backup is packed: it ends with an answer.
try {
  parentPort!.postMessage({ bytes: packBackup(workerData as Packing) });
} catch (error) {
  // Of an error's class nothing is left on the other side. What is unforeseen ends the thread.
  if (!(error instanceof BackupError)) throw error;
  parentPort!.postMessage({ failed: { message: error.message, code: error.code } });
}
