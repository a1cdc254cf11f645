import { isAbsolute } from 'node:path';
import type { ControlOperations } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { BackupError } from '../backup/backup-error.ts';
import type { BackupMaker } from '../backup/making.ts';

/** Backups of a running daemon. */
export function backupOperations(
  backups: Pick<BackupMaker, 'make'>,
  running: AbortSignal,
): Pick<ControlOperations, 'backup'> {
  return {
    async backup({ file, passphrase, force }, { signal }) {
      if (!isAbsolute(file)) {
        throw new ControlError('invalid', 'the path of a backup has to be absolute', { field: 'file' });
      }
      try {
        const made = await backups.make(
          { file, passphrase, force },
          { signal: AbortSignal.any([signal, running]) },
        );
        return {
          file,
          peerId: made.peerId,
          madeAt: new Date(made.madeMs).toISOString(),
          bytes: made.bytes,
        };
      } catch (error) {
        throw error instanceof BackupError ? refusal(error) : error;
      }
    },
  };
}

function refusal(error: BackupError): ControlError {
  const { code, message } = error;
  switch (code) {
    case 'exists':
      return new ControlError('conflict', message, { field: 'file', cause: error });
    case 'busy':
      return new ControlError('conflict', message, { hint: 'wait until it is done', cause: error });
    case 'disk-full':
      return new ControlError('disk-full', message, {
        hint: 'a backup takes room for two copies of daemon.db in the data directory, and for one where it is written',
        cause: error,
      });
    case 'passphrase-unusable':
      return new ControlError('forbidden', message, { field: 'passphrase', cause: error });
    default:
      return new ControlError('disk-error', message, { cause: error });
  }
}
