import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import { addressesOfPeer, addressOfPeer, byReach } from './peer-addresses.ts';

const PEER = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN';
const OTHER = '12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x';
const HOME = '/ip4/192.0.2.1/tcp/4001';

void test('an address leads to its peer, or is none', () => {
  for (const [text, expected] of [
    [HOME, HOME],
    [`${HOME}/p2p/${PEER}`, HOME],
    [`${HOME}/p2p/${OTHER}/p2p-circuit`, `${HOME}/p2p/${OTHER}/p2p-circuit`],
    [`${HOME}/p2p/${OTHER}/p2p-circuit/p2p/${PEER}`, `${HOME}/p2p/${OTHER}/p2p-circuit`],
    [`${HOME}/p2p/${OTHER}`, undefined],
    [`/p2p/${PEER}`, undefined],
    ['', undefined],
    ['192.0.2.1:4001', undefined],
    ['/dns4/a\u001B[2Jb/tcp/1', undefined],
    [`/dns4/${'a'.repeat(600)}/tcp/1`, undefined],
  ] as const) {
    assert.equal(addressOfPeer(text, PEER)?.toString(), expected, text);
  }
});

void test('of many addresses the good ones are kept, each once, up to a bound', () => {
  const many = Array.from({ length: 40 }, (_, port) => `/ip4/192.0.2.1/tcp/${port}`);
  const found = addressesOfPeer(
    [HOME, 'rubbish', `${HOME}/p2p/${OTHER}`, `${HOME}/p2p/${PEER}`, ...many],
    PEER,
  );
  assert.deepEqual(found.slice(0, 2).map(String), [HOME, '/ip4/192.0.2.1/tcp/0']);
  assert.equal(found.length, 16);
});

void test('addresses that can be used from afar come first', () => {
  const given = [
    '/ip4/127.0.0.1/tcp/1',
    '/ip4/10.0.0.1/tcp/1',
    '/ip4/45.1.1.1/tcp/1',
    '/dns4/a.example/tcp/1',
  ];
  assert.deepEqual(byReach(given.map((text) => multiaddr(text))).map(String), [
    '/ip4/45.1.1.1/tcp/1',
    '/dns4/a.example/tcp/1',
    '/ip4/10.0.0.1/tcp/1',
    '/ip4/127.0.0.1/tcp/1',
  ]);
});

void test('a host name with half a surrogate pair, which no store keeps, is none', () => {
  assert.equal(addressOfPeer('/dns4/a\ud800.example/tcp/1', PEER), undefined);
});

void test('an address that ends at another peer is none', () => {
  assert.equal(addressOfPeer(`${HOME}/p2p/${OTHER}/p2p/${PEER}`, PEER), undefined);
  assert.ok(addressOfPeer(`${HOME}/p2p/${OTHER}/p2p-circuit/p2p/${PEER}`, PEER));
});

void test('an address that is too long once it is written out is none', () => {
  assert.equal(addressOfPeer(`/unix/${'ä'.repeat(200)}`, PEER), undefined);
});
