import type { ControlOperations } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { messageView } from '../message-view.ts';
import { SearchQueryError } from '../search/search.ts';
import type { Daemon } from './daemon.ts';

/** The row that a cursor of `search` names: all before it come on the next page. */
function rowOf(cursor: string): number {
  const row = /^\d{1,16}$/.test(cursor) ? Number(cursor) : NaN;
  if (Number.isSafeInteger(row)) return row;
  throw new ControlError('invalid', 'that is no cursor of a search', {
    field: 'cursor',
    hint: 'hand back a cursor from an earlier answer, as it was',
  });
}

/** Looking for words in all that was written. */
export function searchOperations({
  search,
  directory,
  names,
}: Pick<Daemon, 'search' | 'directory' | 'names'>): Pick<ControlOperations, 'search'> {
  return {
    async search({ q, who, cursor, limit }, { signal }) {
      const before = cursor === undefined ? undefined : rowOf(cursor);
      const peer = who === undefined ? undefined : await directory.resolve(who, { signal });
      try {
        const { found, next, notIndexed } = await search.find(
          {
            text: q,
            limit,
            ...(peer !== undefined && { peer }),
            ...(before !== undefined && { before }),
          },
          { signal },
        );
        return {
          messages: found.map(({ message, matches }) => ({ ...messageView(message, names), matches })),
          next: next === null ? null : String(next),
          notIndexed,
        };
      } catch (error) {
        if (!(error instanceof SearchQueryError)) throw error;
        throw new ControlError('invalid', error.message, { field: 'q', hint: error.hint });
      }
    },
  };
}
