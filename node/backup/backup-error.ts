export type BackupErrorCode =
  | 'exists'
  | 'busy'
  | 'unwritable'
  | 'unreadable'
  | 'not-found'
  | 'disk-full'
  | 'passphrase-unusable'
  | 'no-backup'
  | 'newer-version'
  | 'wrong-passphrase'
  | 'damaged'
  | 'not-empty'
  | 'nothing-there';

/**
 * A backup can't be made or restored. Nothing has been changed, and nothing half is left.
 *
 * - `exists`: there is a file of this name
 * - `busy`: another backup of the data directory is being made
 * - `unwritable`, `unreadable`: the disk, or who may use the file, does not allow it
 * - `not-found`: there is no such file to restore
 * - `disk-full`: no room
 * - `passphrase-unusable`: too short or too long to be one
 * - `no-backup`: the file is something else
 * - `newer-version`: written by a newer Tincan
 * - `wrong-passphrase`: it opens nothing
 * - `damaged`: changed, or not whole
 * - `not-empty`: something is in the data directory that it should be restored to
 * - `nothing-there`: the data directory has no identity and messages to back up
 */
export class BackupError extends Error {
  override name = 'BackupError';
  readonly code: BackupErrorCode;

  constructor(message: string, code: BackupErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
