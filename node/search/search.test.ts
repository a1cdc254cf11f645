import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLogger } from '@libp2p/logger';
import type { TestContext } from 'node:test';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { testStore } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import { openMessageIndex } from './message-index.ts';
import { searchService } from './search.ts';
import type { Search, SearchAnswer, SearchQuery } from './search.ts';

const NOW = 1_800_000_000_000;

interface Fixture {
  store: TestStore;
  search: Search;
  send(...texts: string[]): void;
  find(text: string, query?: Partial<SearchQuery>): Promise<SearchAnswer>;
  stop: AbortController;
}

function fixture(t: TestContext, times: { restMs?: number; waitMs?: number } = {}): Fixture {
  const store = testStore();
  const index = openMessageIndex();
  const stop = new AbortController();
  t.after(() => {
    stop.abort();
    index[Symbol.dispose]();
    store.close();
  });
  const log = defaultLogger().forComponent('search');
  const search = searchService({ store: store.client, index, log, signal: stop.signal, ...times });
  return {
    store,
    search,
    stop,
    send: (...texts) => {
      store.operations['messages.send']({
        items: texts.map((text, at) => ({ peer: at % 2 === 0 ? 'ann' : 'bob', text })),
        nowMs: NOW,
      });
    },
    find: (text, query = {}) =>
      search.find({ text, limit: 10, ...query }, { signal: new AbortController().signal }),
  };
}

const textsOf = ({ found }: SearchAnswer): string[] => found.map(({ message }) => message.text);

void test('a store that fails for a while is asked again', async (t) => {
  const store = testStore();
  using index = openMessageIndex();
  const stop = new AbortController();
  t.after(() => store.close());
  store.operations['messages.send']({ items: [{ peer: 'ann', text: 'hello' }], nowMs: NOW });
  let failures = 3;
  const search = searchService({
    store: {
      call: async (what, given, ...rest) => {
        if (what === 'texts.read' && failures-- > 0) throw new StoreError('the disk is full', 'disk-full');
        return store.client.call(what, given, ...rest);
      },
    },
    index,
    log: defaultLogger().forComponent('search'),
    signal: stop.signal,
    restMs: 1,
  });
  const running = search.run();
  while (failures > -1) await new Promise((resolve) => setImmediate(resolve));
  const { found } = await search.find({ text: 'hello', limit: 1 }, { signal: stop.signal });
  assert.equal(found.length, 1);
  stop.abort();
  await running;
});

void test('what was there before and what comes is found, the newest first', async (t) => {
  const { search, send, find, stop } = fixture(t);
  send(...Array.from({ length: 1_000 }, (_, at) => `old ${at}`));
  const running = search.run();
  const first = await find('old 99');
  assert.deepEqual(textsOf(first), [
    'old 999',
    'old 998',
    'old 997',
    'old 996',
    'old 995',
    'old 994',
    'old 993',
    'old 992',
    'old 991',
    'old 990',
  ]);
  assert.equal(first.notIndexed, 0);
  send('new and old');
  search.committed();
  assert.deepEqual(textsOf(await find('old', { limit: 1 })), ['new and old']);
  assert.deepEqual((await find('NEW')).found[0]!.matches, [{ start: 0, end: 3 }]);
  stop.abort();
  await running;
});

void test('pages follow one another, of one conversation or all', async (t) => {
  const { send, find } = fixture(t);
  send('swan 1', 'swan 2', 'swan 3', 'swan 4', 'swan 5');
  const walk = async (query: Partial<SearchQuery>): Promise<string[][]> => {
    const pages: string[][] = [];
    let before: number | undefined;
    do {
      const answer = await find('swan', { limit: 2, ...query, ...(before !== undefined && { before }) });
      pages.push(textsOf(answer));
      before = answer.next ?? undefined;
    } while (before !== undefined);
    return pages;
  };
  assert.deepEqual(await walk({}), [['swan 5', 'swan 4'], ['swan 3', 'swan 2'], ['swan 1']]);
  assert.deepEqual(await walk({ peer: 'bob' }), [['swan 4', 'swan 2'], []]);
});

void test('what was committed is indexed without anybody searching', async (t) => {
  const { store, search, send, stop } = fixture(t, { restMs: 1 });
  const running = search.run();
  const reads: number[] = [];
  const read = store.operations['texts.read'];
  const readOn = Promise.withResolvers<void>();
  store.operations['texts.read'] = (range) => {
    const page = read(range);
    reads.push(page.readTo);
    if (page.readTo === 600) readOn.resolve();
    return page;
  };
  send(...Array.from({ length: 600 }, () => 'swan'));
  search.committed();
  await readOn.promise;
  stop.abort();
  await running;
  assert.ok(reads.length >= 3, 'in slices');
});

void test('a search that can not wait for the index says how much is not in it', async (t) => {
  const { send, find } = fixture(t, { waitMs: 0 });
  send(...Array.from({ length: 2_000 }, () => 'swan'));
  for (let answer = await find('swan'); answer.notIndexed > 0; answer = await find('swan')) {
    assert.ok(answer.notIndexed <= 2_000);
  }
});

void test('a query without words or with too many is refused', async (t) => {
  const { find } = fixture(t);
  await assert.rejects(find(' -- '), { name: 'SearchQueryError' });
  await assert.rejects(find('w '.repeat(17)), { name: 'SearchQueryError', message: /16 words/ });
  assert.deepEqual(await find('w '.repeat(16)), { found: [], next: null, notIndexed: 0 });
});

void test('a search ends with its caller, and with the daemon', async (t) => {
  const { search, send, find, stop } = fixture(t);
  send('swan');
  const query = { text: 'swan', limit: 1 };
  await assert.rejects(search.find(query, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  stop.abort();
  await assert.rejects(find('swan'), { name: 'AbortError' });
  await search.run();
});
