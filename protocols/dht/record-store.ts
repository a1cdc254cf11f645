import { NotFoundError } from '@libp2p/interface';
import type { KadDHTComponents } from '@libp2p/kad-dht';

type Datastore = KadDHTComponents['datastore'];
type Key = Parameters<Datastore['put']>[0];

/** Counted for each record besides its value: its key in base32, and what a Map and two objects take. */
const OVERHEAD_BYTES = 500;

/** Where kad-dht keeps who provides which content. Tincan has no use for it, so nobody may fill it. */
const PROVIDERS = '/dht/provider/';

/**
 * The memory that a node lends to the DHT, or to what it knows of peers, at most `maxBytes`: when it is full, the records
 * that were put longest ago go first, and those are not put again by their owners.
 *
 * @param keeps keys that never go, of which there may be only a few
 */
export function recordStore(maxBytes: number, keeps: (key: string) => boolean = () => false): Datastore {
  const records = new Map<string, { key: Key; value: Uint8Array }>();
  let bytes = 0;

  const remove = (id: string): void => {
    const record = records.get(id);
    if (record === undefined) return;
    bytes -= record.value.byteLength + OVERHEAD_BYTES;
    records.delete(id);
  };
  const put = (key: Key, value: Uint8Array): Key => {
    const id = key.toString();
    if (id.startsWith(PROVIDERS)) throw new Error('provider records are not kept');
    remove(id);
    // A copy: the value is often a view on a whole network buffer.
    records.set(id, { key, value: Uint8Array.from(value) });
    bytes += value.byteLength + OVERHEAD_BYTES;
    for (const oldest of records.keys()) {
      if (bytes <= maxBytes) break;
      if (!keeps(oldest)) remove(oldest);
    }
    return key;
  };
  const get = (key: Key): Uint8Array => {
    const record = records.get(key.toString());
    if (record === undefined) throw new NotFoundError('no such record');
    return record.value;
  };
  const select = ({ prefix = '' }: { prefix?: string }) =>
    Array.from(records.values()).filter(({ key }) => key.toString().startsWith(prefix));

  return {
    put,
    get,
    has: (key) => records.has(key.toString()),
    delete: (key) => remove(key.toString()),
    async *putMany(source) {
      for await (const { key, value } of source) yield put(key, value);
    },
    async *getMany(source) {
      for await (const key of source) yield { key, value: get(key) };
    },
    async *deleteMany(source) {
      for await (const key of source) {
        remove(key.toString());
        yield key;
      }
    },
    batch() {
      const changes: (() => void)[] = [];
      return {
        put: (key, value) => void changes.push(() => put(key, value)),
        delete: (key) => void changes.push(() => remove(key.toString())),
        commit: () => changes.splice(0).forEach((change) => change()),
      };
    },
    async *query({ filters = [], orders = [], offset = 0, limit, ...query }) {
      let pairs = select(query).filter((pair) => filters.every((filter) => filter(pair)));
      for (const order of orders) pairs = pairs.toSorted(order);
      yield* pairs.slice(offset, limit === undefined ? undefined : offset + limit);
    },
    async *queryKeys({ filters = [], orders = [], offset = 0, limit, ...query }) {
      let keys = select(query).map(({ key }) => key);
      keys = keys.filter((key) => filters.every((filter) => filter(key)));
      for (const order of orders) keys = keys.toSorted(order);
      yield* keys.slice(offset, limit === undefined ? undefined : offset + limit);
    },
  };
}
