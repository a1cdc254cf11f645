import type { DeliveryInit } from './delivery/delivery.ts';
import type { EventLog } from './event-log.ts';
import { arrivedView, sentView } from './message-view.ts';
import type { NamesForViews } from './message-view.ts';

export interface DeliveryEventsInit {
  events: Pick<EventLog, 'append'>;
  names: NamesForViews;
  /** A message went to or came from a peer. */
  met: (peer: string) => void;
}

/** What delivery does, as events. Views of messages are made when somebody reads them. */
export function deliveryEvents({
  events,
  names,
  met,
}: DeliveryEventsInit): Pick<DeliveryInit, 'onChange' | 'onReceived' | 'onSent'> {
  return {
    onChange({ peer, state, failure, rows, idAt }) {
      events.append({
        type: 'state',
        peerId: peer,
        state,
        ids: Array.from(rows, (_, index) => idAt(index)),
        failure,
      });
    },
    onReceived(peer, arrivals) {
      met(peer);
      for (const arrival of arrivals) {
        events.append({
          type: 'message',
          row: arrival.row,
          bytes: arrival.message.byteLength,
          view: () => arrivedView(peer, arrival, names),
        });
      }
    },
    onSent(batch, items, sentAtMs) {
      for (const peer of new Set(items.map((item) => item.peer))) met(peer);
      for (const [index, row] of batch.rows.entries()) {
        const item = items[index]!;
        events.append({
          type: 'message',
          row,
          bytes: item.text.length,
          view: () => sentView(batch, index, { ...item, sentAtMs }, names),
        });
      }
    },
  };
}
