import { createHash } from 'node:crypto';
import type { SelectFn, ValidateFn } from '@libp2p/kad-dht';
import { openCard } from '../contact-card/card.ts';
import { verifyCertificate } from '../phonebook/certificate.ts';

/** kad-dht finds the rules for a key by what stands between its first two slashes. */
export const NAME_NAMESPACE = 'tincan-name';
export const CARD_NAMESPACE = 'tincan-card';

/** Keys whose newest record is remembered: about 300 bytes each, and more than a record store holds. */
const REMEMBERED_KEYS = 50_000;

/** Where the certificate of a name is found. `name` is normalised, `phonebook` in base58. */
export function nameKey(phonebook: string, name: string): Uint8Array {
  return Buffer.from(`/${NAME_NAMESPACE}/${phonebook}/${name}`);
}

/** Where the contact card of a peer is found. `peerId` is in base58. */
export function cardKey(peerId: string): Uint8Array {
  return Buffer.from(`/${CARD_NAMESPACE}/${peerId}`);
}

/** The record proves something, but not for the key it was found under. */
export class MisplacedRecordError extends Error {
  override name = 'MisplacedRecordError';
}

/** A later record, or another with the same seq, is known for the key. */
export class StaleRecordError extends Error {
  override name = 'StaleRecordError';
}

/** What a record says of its own age. */
interface RecordAge {
  seq: number;
  expiresMs: number;
}

type Verify = (key: Uint8Array, value: Uint8Array, nowMs: number) => Promise<RecordAge>;

const VERIFY: Record<string, Verify> = {
  [NAME_NAMESPACE]: async (key, value, nowMs) => {
    const certificate = await verifyCertificate(value, { nowMs });
    checkPlace(key, nameKey(certificate.phonebook, certificate.name));
    return certificate;
  },
  [CARD_NAMESPACE]: async (key, value, nowMs) => {
    const card = await openCard(value, { nowMs });
    checkPlace(key, cardKey(card.peerId));
    return card;
  },
};

function checkPlace(key: Uint8Array, ownKey: Uint8Array): void {
  if (Buffer.compare(key, ownKey) !== 0)
    throw new MisplacedRecordError('the record belongs under another key');
}

export interface RecordRules {
  validators: Record<string, ValidateFn>;
  selectors: Record<string, SelectFn>;
}

/**
 * What may be stored in the DHT and what is better. A validator throws for a record that is forged, expired or under the
 * wrong key, and for one older than the newest this node has seen: kad-dht asks no selector before it overwrites. Of two
 * records with one seq the first stays.
 */
export function recordRules({ nowMs }: { nowMs: () => number }): RecordRules {
  const newest = newestRecords(REMEMBERED_KEYS);
  const rules: RecordRules = { validators: {}, selectors: {} };
  for (const [namespace, verify] of Object.entries(VERIFY)) {
    rules.validators[namespace] = async (key, value) => {
      const age = await verify(key, value, nowMs());
      newest.check(key, value, age, nowMs());
    };
    rules.selectors[namespace] = async (key, values) => {
      let best = 0;
      let bestSeq = -1;
      for (const [index, value] of values.entries()) {
        const age = await verify(key, value, nowMs()).catch(() => undefined);
        if (age !== undefined && age.seq > bestSeq) {
          best = index;
          bestSeq = age.seq;
        }
      }
      return best;
    };
  }
  return rules;
}

/** The highest seq seen for each key, in bounded memory: the keys unused for longest are forgotten first. */
export function newestRecords(maxKeys: number) {
  const newest = new Map<string, RecordAge & { digest: string }>();
  return {
    /**
     * Remembers a record.
     *
     * @throws StaleRecordError
     */
    check(key: Uint8Array, value: Uint8Array, { seq, expiresMs }: RecordAge, nowMs: number): void {
      const id = createHash('sha256').update(key).digest('latin1');
      const digest = createHash('sha256').update(value).digest('latin1');
      const known = newest.get(id);
      // What has expired can't come back, so a new owner of the key may count from anywhere.
      if (known !== undefined && known.expiresMs > nowMs) {
        if (seq < known.seq) throw new StaleRecordError(`seq ${seq} is below ${known.seq}, which is known`);
        if (seq === known.seq && digest !== known.digest) {
          throw new StaleRecordError(`another record with seq ${seq} is known`);
        }
      }
      newest.delete(id);
      newest.set(id, { seq, expiresMs, digest });
      if (newest.size > maxKeys) newest.delete(newest.keys().next().value!);
    },
    get size(): number {
      return newest.size;
    },
  };
}
