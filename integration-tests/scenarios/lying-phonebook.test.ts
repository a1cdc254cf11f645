import assert from 'node:assert/strict';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { sealCard } from '../../protocols/contact-card/card.ts';
import { tincan } from '../harness/command.ts';
import type { Daemon } from '../harness/daemon.ts';
import { lyingPhonebook, rowOf } from '../harness/lying-phonebook.ts';
import type { LyingPhonebook } from '../harness/lying-phonebook.ts';
import { scenario } from '../harness/scenario.ts';
import { signedRecordOf } from '../harness/stranger.ts';
import type { Town } from '../harness/town.ts';
import { waitFor } from '../harness/wait-for.ts';

interface Cast {
  ada: Daemon;
  ben: Daemon;
  /** Goes along with the phonebook: she has claimed the name ben, too. */
  eve: Daemon;
}

/** Ada knows Ben by his name, and has written to him. Then the phonebook has Eve under that name. */
async function openCast(town: Town, book: LyingPhonebook): Promise<Cast> {
  const { signal } = town;
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { name: 'ada', bootstrap: [book.multiaddr] }),
    town.daemon('ben', { name: 'ben', bootstrap: [book.multiaddr] }),
  ]);
  await Promise.all([ada.knows('ben'), ben.knows('ada')]);
  await ada.send('ben', 'hello', 'delivered');
  const eve = await town.daemon('eve', { name: 'ben', bootstrap: [book.multiaddr], friends: false });
  await waitFor('eve to have claimed the name', () => book.hasClaim('ben', eve.peerId), { signal });
  return { ada, ben, eve };
}

const at = (daemon: Daemon, signal: AbortSignal) => (args: string[], input?: string) =>
  tincan(args, {
    signal,
    env: { TINCAN_HOME: daemon.dataDir },
    ...(input === undefined ? undefined : { input }),
  });

scenario('two people compare their keys, by number and by code', async (town) => {
  const { signal } = town;
  await using book = await lyingPhonebook({ signal });
  const { ada, ben, eve } = await openCast(town, book);
  const [byAda, byBen, byEve] = [at(ada, signal), at(ben, signal), at(eve, signal)];
  const numberIn = ({ stdout }: { stdout: string }): string => {
    const [number = ''] = /(\d{5}\s+){11}\d{5}/.exec(stdout) ?? [];
    return number.replaceAll(/\s+/g, ' ');
  };
  const shown = await byAda(['verify', 'ben']);
  assert.match(shown.stdout, /^ben {2}12D3KooW\w+ {2}not verified\n/);
  const number = numberIn(shown);
  assert.equal(number.length, 71);
  const atBen = await byBen(['verify', 'ada']);
  assert.equal(numberIn(atBen), number);
  const [code = ''] = /^tincan-verify:.*$/m.exec(atBen.stdout) ?? [];

  // Whoever is in between has another number and another code, and the own screen is told from the other's.
  const atEve = await byEve(['verify', ada.peerId]);
  assert.notEqual(numberIn(atEve), number);
  const [evesCode = ''] = /^tincan-verify:.*$/m.exec(atEve.stdout) ?? [];
  for (const wrong of [evesCode, numberIn(atEve)]) {
    const { code: exit, stderr } = await byAda(['verify', 'ben', '--code', wrong, '--confirm']);
    assert.deepEqual([exit, /MISMATCH/.test(stderr)], [1, true], stderr);
  }
  const [own = ''] = /^tincan-verify:.*$/m.exec(shown.stdout) ?? [];
  assert.match((await byAda(['verify', 'ben', '--code', own])).stderr, /your own screen/);
  assert.equal((await byAda(['verify', 'ben', '--code', 'rubbish'])).code, 2);
  assert.equal((await ada.client.call('whois', { who: 'ben' }, { signal })).verified, false);

  assert.match((await byAda(['verify', 'ben', '--code', number])).stdout, /^Match/);
  assert.match((await byAda(['verify', 'ben', '--code', code, '--confirm'])).stdout, /ben is verified/);
  await ada.program.stop();
  await ada.program.start();
  await ada.connected();
  assert.match((await byAda(['whois', 'ben'])).stdout, /key {2,}verified/);
  await ada.client.call('addContact', { who: 'ben' }, { signal });
  assert.match((await byAda(['contacts'])).stdout, / verified/);
  assert.match((await byAda(['chat', 'ben'], '')).stdout, /^-- ben, 12D3KooW\w+, verified --/m);
  assert.match((await byAda(['verify', 'ben', '--revoke'])).stdout, /not verified any more/);
});

scenario(
  'a phonebook gives a name to somebody else: nothing is sent there, and the user decides',
  async (town) => {
    const { signal } = town;
    await using book = await lyingPhonebook({ signal });
    const { ada, ben, eve } = await openCast(town, book);
    const byAda = at(ada, signal);
    const sendTo = (to: string) => ada.client.call('send', { to, text: 'for ben alone' }, { signal });
    book.point('ben', eve.peerId);
    const events = ada.client.events({ signal });
    await events.opened;

    const found = await ada.client.call('whois', { who: 'ben' }, { signal });
    assert.deepEqual(
      [found.peerId, found.blocked, found.keyChange?.known, found.keyChange?.claimed],
      [ben.peerId, true, ben.peerId, eve.peerId],
    );
    assert.match(found.warning ?? '', new RegExp(`${ben.peerId}.*${eve.peerId}`));
    for await (const event of events) {
      if (event.type === 'warning') assert.match(event.message, new RegExp(`${ben.peerId}.*${eve.peerId}`));
      if (event.type !== 'contact') continue;
      assert.deepEqual([event.peerId, event.change], [ben.peerId, 'changed']);
      break;
    }
    const isRefused = async (): Promise<void> => {
      for (const to of ['ben', 'BEN']) {
        await assert.rejects(sendTo(to), {
          code: 'conflict',
          field: 'to',
          message: new RegExp(`${ben.peerId}.*${eve.peerId}`),
          hint: /tincan trust ben/,
        });
      }
      const stream = ada.client.sendStream({ signal });
      stream.send({ to: 'ben', text: 'for ben alone', ref: 1 });
      stream.end();
      for await (const answer of stream) assert.equal('error' in answer && answer.error.code, 'conflict');
      const chat = await byAda(['chat', 'ben'], 'for ben alone\n/quit\n');
      assert.equal(chat.code, 1);
      assert.match(chat.stdout, /CHANGED: tincan trust ben/);
      assert.match(chat.stdout, /not sent: whose key stands behind ben is in question/);
      const { warnings } = await ada.client.call('status', {}, { signal });
      assert.match(warnings.join('\n'), new RegExp(`${eve.peerId}.*tincan trust ben`));
    };
    await isRefused();
    // Who has the known key's peer id means that key.
    await ada.send(ben.peerId, 'by your key', 'delivered');
    await ada.program.stop();
    await ada.program.start();
    await ada.connected();
    await isRefused();

    const undecided = await byAda(['trust', 'ben']);
    assert.equal(undecided.code, 1);
    assert.match(undecided.stdout, new RegExp(`known {2}${ben.peerId}`));
    assert.match(undecided.stdout, new RegExp(`new {4}${eve.peerId}`));
    await assert.rejects(
      ada.client.call('decideKeyChange', { who: 'ben', decision: 'accept', claimed: ada.peerId }, { signal }),
      { code: 'conflict' },
    );
    assert.equal((await byAda(['trust', 'ben', '--keep'])).code, 0);
    assert.equal((await byAda(['trust', 'ben', '--keep'])).code, 4);
    assert.deepEqual((await ada.client.call('status', {}, { signal })).warnings, []);
    const again = await ada.client.call('whois', { who: 'ben' }, { signal });
    assert.deepEqual([again.peerId, again.blocked], [ben.peerId, false]);
    await ada.send('ben', 'still you', 'delivered');
    assert.deepEqual(await ben.texts(3), ['hello', 'by your key', 'still you']);

    // What Eve says is not shown under Ben's name, though her hello carries the phonebook's certificate for it.
    await eve.send(ada.peerId, 'I am ben', 'delivered');
    const { requests } = await ada.client.call('requests', {}, { signal });
    assert.deepEqual(
      requests.map(({ peerId, name }) => [peerId, name]),
      [[eve.peerId, null]],
    );
    await ada.client.call('accept', { who: eve.peerId }, { signal });
    const said = (await ada.inbox()).find(({ text }) => text === 'I am ben');
    assert.deepEqual([said?.from, said?.fromName], [eve.peerId, null]);
    assert.deepEqual(await eve.inbox(), []);
  },
);

scenario('somebody really has a new key: it is taken, without the mark of the old one', async (town) => {
  const { signal } = town;
  await using book = await lyingPhonebook({ signal });
  const { ada, ben, eve: anew } = await openCast(town, book);
  const byAda = at(ada, signal);
  await ada.client.call('addContact', { who: 'ben', petname: 'benny' }, { signal });
  await ada.client.call('verify', { who: 'ben', verified: true }, { signal });
  await ben.program.kill();
  book.point('ben', anew.peerId);
  assert.equal((await ada.client.call('whois', { who: 'ben' }, { signal })).blocked, true);
  await assert.rejects(ada.client.call('verify', { who: 'ben', verified: true }, { signal }), {
    code: 'conflict',
  });
  const accepted = await byAda(['trust', 'ben', '--accept']);
  assert.deepEqual([accepted.code, accepted.stdout], [0, `ben is ${anew.peerId} now, not verified\n`]);
  await anew.client.call('addContact', { who: ada.peerId }, { signal });
  for (const to of ['ben', 'benny']) await ada.send(to, `to ${to}`, 'delivered');
  assert.deepEqual(await anew.texts(2), ['to ben', 'to benny']);
  const { contacts } = await ada.client.call('contacts', {}, { signal });
  assert.deepEqual(
    contacts.map(({ peerId, petname, verified, keyChange }) => [peerId, petname, verified, keyChange]),
    [[anew.peerId, 'benny', false, null]],
  );
});

scenario('whatever else a phonebook makes up ends in a warning or in nothing', async (town) => {
  const { signal } = town;
  await using book = await lyingPhonebook({ signal });
  const { ada, ben, eve } = await openCast(town, book);
  const [mallory, other] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')]);
  const malloryId = mallory.publicKey.toString();
  const bens = book.answers.get('ben')!;
  const certificate = await book.certify('ben', mallory, { seq: 1_000_000 });
  const card = await sealCard(mallory, {
    peerId: malloryId,
    mailboxes: [],
    seq: 1,
    expiresMs: Date.now() + 1_000_000,
  });
  const warningsOf = async (): Promise<string> =>
    (await ada.client.call('status', {}, { signal })).warnings.join('\n');

  // What proves nothing: the phonebook is named, and the name stays where it is.
  const lies: [string, typeof bens][] = [
    [
      'a certificate of another phonebook',
      rowOf(malloryId, 'ben', await book.certify('ben', mallory, { seq: 9, phonebook: other })),
    ],
    ["somebody else's certificate", rowOf(malloryId, 'ben', bens.certificate)],
    ['no certificate', rowOf(malloryId, 'ben', null)],
    [
      'a certificate of another name',
      rowOf(malloryId, 'ben', await book.certify('bens', mallory, { seq: 9 })),
    ],
    ["somebody else's card", { ...bens, contactCard: card }],
    ["somebody else's addresses", { ...bens, peerRecord: await signedRecordOf({ privateKey: mallory }) }],
    ['rubbish', { ...bens, certificate: Uint8Array.of(1, 2, 3) }],
  ];
  for (const [what, row] of lies) {
    book.answers.set('ben', row);
    const found = await ada.client.call('whois', { who: 'ben' }, { signal });
    assert.deepEqual([found.peerId, found.blocked], [ben.peerId, false], what);
    assert.match(await warningsOf(), new RegExp(`${book.peerId} gave an answer it can't prove`), what);
    assert.equal((await ada.client.call('send', { to: 'ben', text: what }, { signal })).to, ben.peerId, what);
  }
  // A certificate older than the one that is known, and a second one with its number.
  const { seq } = (await ada.client.call('whois', { who: ben.peerId }, { signal })).certificate!;
  book.answers.set('ben', rowOf(malloryId, 'ben', await book.certify('ben', mallory, { seq })));
  const twin = await ada.client.call('whois', { who: 'ben' }, { signal });
  assert.deepEqual([twin.peerId, twin.blocked], [ben.peerId, false]);
  assert.match(await warningsOf(), /same number/);
  // A name that nobody here knows, for a peer that the user looks up by a key which has another name here.
  book.answers.set(eve.peerId, rowOf(eve.peerId, 'ben', certificate));
  const byKey = await ada.client.call('whois', { who: eve.peerId }, { signal });
  assert.notEqual(byKey.name, 'ben');
  // The listing, which nothing proves, does not give anybody a name that is somebody else's.
  book.answers.set(malloryId, rowOf(malloryId, 'ben', certificate));
  const { peers } = await ada.client.call('peers', {}, { signal });
  assert.deepEqual(
    peers.filter(({ name }) => name === 'ben').map(({ peerId }) => peerId),
    [ben.peerId],
  );

  // Addresses where somebody else listens lead nowhere: the key at the end is not the one that was dialled.
  const hidden = await generateKeyPair('Ed25519');
  const address = eve.program.ready.multiaddrs[0]!.replace(/\/p2p\/.*$/, '');
  const invite = `tincan:${hidden.publicKey.toString()}?a=${address}`;
  await ada.client.call('addContact', { who: invite, petname: 'hidden' }, { signal });
  await assert.rejects(ada.client.call('connect', { who: 'hidden', timeoutMs: 5_000 }, { signal }), {
    code: /unavailable|timeout/,
  });
  const { state } = await ada.client.call('send', { to: 'hidden', text: 'nobody else' }, { signal });
  assert.equal(state, 'queued');
  assert.deepEqual(await eve.inbox(), []);
});
