import { ControlError } from '../protocols/control/errors.ts';
import { isInvite } from './invite.ts';
import { parsePeerId } from './peer-ids.ts';

/** What would be taken for something else, or write over a terminal, is no petname. @throws ControlError `invalid` */
export function checkPetname(petname: string): void {
  const refuse = (message: string): never => {
    throw new ControlError('invalid', message, { field: 'petname', hint: 'choose another one with --as' });
  };
  if (petname.trim() !== petname || petname === '')
    refuse('a petname begins and ends with something visible');
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(petname)) refuse('a petname has no control characters');
  if (parsePeerId(petname) !== undefined) refuse('a peer id is no petname');
  if (isInvite(petname)) refuse('an invite is no petname');
}

/** The form in which a petname and a phonebook's name are the same to a reader. */
export function readAs(name: string): string {
  return name.normalize('NFKC').toLowerCase();
}
