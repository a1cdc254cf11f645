import { examine } from '../protocols/group-commit/doctor.ts';
import type { Diagnosis, DoctorOptions } from '../protocols/group-commit/doctor.ts';
import { mendBootstrapStore } from './mend.ts';
import type { BootstrapLosses } from './mend.ts';
import { BOOTSTRAP_STORE_VERSION, migrate } from './schema.ts';

function describe({ blobs, names }: BootstrapLosses): string[] {
  return [
    ...(blobs > 0
      ? [
          `${blobs.toLocaleString('en-GB')} waiting message${blobs === 1 ? '' : 's'} can't be read: their senders still have them`,
        ]
      : []),
    ...(names.length > 0
      ? [`names that can't be read, and have to be claimed again: ${names.join(', ')}`]
      : []),
  ];
}

/** Looks a bootstrap node's data directory over, and repairs its store if asked to. */
export function examineBootstrap(dataDir: string, options: DoctorOptions): Promise<Diagnosis> {
  return examine(
    {
      dataDir,
      fileName: 'bootstrap.db',
      version: BOOTSTRAP_STORE_VERSION,
      migrate,
      mend: mendBootstrapStore,
      describe,
    },
    options,
  );
}
