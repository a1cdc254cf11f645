import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidCertificateError } from '../protocols/phonebook/certificate.ts';
import { fakePhonebook } from './phonebook-fixture.ts';
import { askAll } from './phonebooks.ts';

void test('a phonebook is accused of what it cannot prove, and not of a clock that is wrong', async (t) => {
  const phonebook = await fakePhonebook();
  const accusations: string[] = [];
  const troubleOf = async (code: InvalidCertificateError['code']): Promise<string[]> => {
    phonebook.before = () => {
      throw new InvalidCertificateError(code, `the certificate is ${code}`);
    };
    const options = {
      links: [phonebook.link],
      onLie: (message: string) => accusations.push(message),
      signal: t.signal,
    };
    return (await askAll({ name: 'ben' }, options)).trouble;
  };
  assert.deepEqual(await troubleOf('expired'), ['the certificate is expired']);
  assert.deepEqual(await troubleOf('not-yet-valid'), ['the certificate is not-yet-valid']);
  assert.deepEqual(accusations, []);
  await troubleOf('bad-owner-signature');
  assert.match(accusations.join(), /can't prove: the certificate is bad-owner-signature/);
});
