import type { OutgoingState } from '../delivery/delivery.ts';

/** What somebody who sends may wait for. */
export type WaitState = 'queued' | 'stored' | 'delivered';

/** Whether a message that is in `state` has got as far as who waits for `wanted` wants, or will get no further. */
export function hasReached(state: OutgoingState, wanted: WaitState): boolean {
  switch (state) {
    case 'queued':
      return wanted === 'queued';
    case 'stored':
      return wanted !== 'delivered';
    case 'delivered':
    case 'read':
    case 'failed':
      return true;
  }
}
