import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { CertificatePayloadSchema, NameCertificateSchema } from './certificate_pb.ts';
import type { CertificatePayload, NameCertificate as CertificateMessage } from './certificate_pb.ts';
import { CLOCK_TOLERANCE_MS, DEFAULT_LIFETIME_MS, MAX_LIFETIME_MS } from './lifetimes.ts';
import { InvalidNameError, normaliseName } from './name.ts';

/** A name of 32 code points in four bytes each, two peer ids and two signatures come to about 400. */
export const MAX_CERTIFICATE_BYTES = 512;

const ED25519_SIGNATURE_BYTES = 64;

const OWNER_DOMAIN = 'tincan-name-certificate:owner:1\0';
const PHONEBOOK_DOMAIN = 'tincan-name-certificate:phonebook:1\0';

/** That a phonebook gave a name to a peer. Names and peer ids are in their one normalised form, so they compare by `===`. */
export interface NameCertificate {
  name: string;
  /** The peer id the name stands for. */
  owner: string;
  /** The peer id of the phonebook that gave it. */
  phonebook: string;
  /** Of two certificates for a name of one phonebook, the higher one counts. */
  seq: number;
  expiresMs: number;
}

export type InvalidCertificateCode =
  | 'malformed'
  | 'bad-owner-signature'
  | 'bad-phonebook-signature'
  | 'expired'
  | 'not-yet-valid';

/**
 * A certificate that proves nothing.
 *
 * - `malformed`: not a certificate, or one with a value out of range
 * - `bad-owner-signature`, `bad-phonebook-signature`: forged or damaged
 * - `expired`
 * - `not-yet-valid`: it expires later than any certificate of today may, so that either its maker's clock was ahead or
 *   the clock here is behind
 */
export class InvalidCertificateError extends Error {
  override name = 'InvalidCertificateError';
  readonly code: InvalidCertificateCode;

  constructor(code: InvalidCertificateCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What an owner asks for: a certificate that the phonebook has yet to sign. */
export interface Proposal extends NameCertificate {
  /** The signed payload, as the certificate will carry it. */
  payload: Uint8Array;
  ownerSignature: Uint8Array;
}

/**
 * Asks for a name, or for a longer time with one: the bytes that a claim carries.
 *
 * @param certificate its `name` is normalised here
 * @throws InvalidNameError
 */
export async function proposeCertificate(
  privateKey: Ed25519PrivateKey,
  certificate: Omit<NameCertificate, 'owner'>,
): Promise<Uint8Array> {
  const payload = toBinary(
    CertificatePayloadSchema,
    create(CertificatePayloadSchema, {
      name: normaliseName(certificate.name),
      owner: privateKey.publicKey.toString(),
      phonebook: certificate.phonebook,
      seq: BigInt(certificate.seq),
      expiresMs: BigInt(certificate.expiresMs),
    }),
  );
  const ownerSignature = await privateKey.sign(signedBytes(OWNER_DOMAIN, payload));
  return toBinary(NameCertificateSchema, create(NameCertificateSchema, { payload, ownerSignature }));
}

/**
 * Reads a proposal and checks the owner's signature. Whether its time is right is for the phonebook to say.
 *
 * @throws InvalidNameError when all is in order but the name
 * @throws InvalidCertificateError `malformed` or `bad-owner-signature`
 */
export async function openProposal(bytes: Uint8Array): Promise<Proposal> {
  const { payload, ownerSignature } = decode(bytes);
  const { certificate, owner } = readPayload(payload);
  await checkOwner(owner, payload, ownerSignature);
  if (normaliseName(certificate.name) !== certificate.name) throw malformed('the name is not normalised');
  return { ...certificate, payload, ownerSignature };
}

/** Signs a proposal that the phonebook has accepted: the bytes of the certificate. */
export async function countersign(privateKey: Ed25519PrivateKey, proposal: Proposal): Promise<Uint8Array> {
  const { payload, ownerSignature } = proposal;
  const phonebookSignature = await privateKey.sign(signedBytes(PHONEBOOK_DOMAIN, payload, ownerSignature));
  return toBinary(
    NameCertificateSchema,
    create(NameCertificateSchema, { payload, ownerSignature, phonebookSignature }),
  );
}

/**
 * Reads a certificate and checks that it is genuine and valid at `nowMs`. Whether it is the one that was asked for
 * (its name, owner and phonebook) is for the caller to compare.
 *
 * @throws InvalidCertificateError
 */
export async function verifyCertificate(
  bytes: Uint8Array,
  { nowMs }: { nowMs: number },
): Promise<NameCertificate> {
  const { payload, ownerSignature, phonebookSignature } = decode(bytes);
  const { certificate, owner, phonebook } = readPayload(payload);
  await checkOwner(owner, payload, ownerSignature);
  const signed = signedBytes(PHONEBOOK_DOMAIN, payload, ownerSignature);
  if (!(await verified(phonebook, signed, phonebookSignature))) {
    throw new InvalidCertificateError(
      'bad-phonebook-signature',
      'the phonebook did not sign the certificate',
    );
  }
  checkName(certificate.name);
  if (certificate.expiresMs <= nowMs) {
    throw new InvalidCertificateError(
      'expired',
      `the certificate expired at ${new Date(certificate.expiresMs).toISOString()}`,
    );
  }
  if (certificate.expiresMs > nowMs + MAX_LIFETIME_MS + CLOCK_TOLERANCE_MS) {
    throw new InvalidCertificateError(
      'not-yet-valid',
      'the certificate expires later than one made by now can: check the clock of this computer',
    );
  }
  return certificate;
}

/** Whether its owner should claim the name again, with a higher seq: when half of the usual time is over. */
export function isRenewalDue({ expiresMs }: { expiresMs: number }, nowMs: number): boolean {
  return expiresMs - nowMs < DEFAULT_LIFETIME_MS / 2;
}

function malformed(what: string, cause?: unknown): InvalidCertificateError {
  return new InvalidCertificateError('malformed', `the certificate is malformed: ${what}`, { cause });
}

function decode(bytes: Uint8Array): CertificateMessage {
  if (bytes.byteLength > MAX_CERTIFICATE_BYTES) throw malformed(`it is over ${MAX_CERTIFICATE_BYTES} bytes`);
  let message: CertificateMessage;
  try {
    message = fromBinary(NameCertificateSchema, bytes);
  } catch (error) {
    throw malformed('it is not protobuf', error);
  }
  // What is outside the signatures must have one form, else anybody could make variants of a certificate.
  const canonical = toBinary(NameCertificateSchema, message, { writeUnknownFields: false });
  if (!Buffer.from(canonical).equals(bytes)) throw malformed('it is not in its shortest form');
  return message;
}

function readPayload(bytes: Uint8Array): { certificate: NameCertificate; owner: PeerId; phonebook: PeerId } {
  let payload: CertificatePayload;
  try {
    payload = fromBinary(CertificatePayloadSchema, bytes);
  } catch (error) {
    throw malformed('its payload is not protobuf', error);
  }
  const owner = readPeerId(payload.owner, 'owner');
  const phonebook = readPeerId(payload.phonebook, 'phonebook');
  const certificate = {
    name: payload.name,
    owner: payload.owner,
    phonebook: payload.phonebook,
    seq: readNumber(payload.seq, 'seq'),
    expiresMs: readNumber(payload.expiresMs, 'expires_ms'),
  };
  return { certificate, owner, phonebook };
}

function readPeerId(text: string, field: string): PeerId {
  let peerId: PeerId | undefined;
  try {
    peerId = peerIdFromString(text);
  } catch (error) {
    throw malformed(`${field} is no peer id`, error);
  }
  if (peerId.type !== 'Ed25519' || peerId.toString() !== text) {
    throw malformed(`${field} is not the peer id of an Ed25519 key in base58`);
  }
  return peerId;
}

function readNumber(value: bigint, field: string): number {
  if (value < 1n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`${field} is out of range`);
  return Number(value);
}

function checkName(name: string): void {
  try {
    if (normaliseName(name) === name) return;
  } catch (error) {
    if (error instanceof InvalidNameError) throw malformed(error.message, error);
    throw error;
  }
  throw malformed('the name is not normalised');
}

async function checkOwner(owner: PeerId, payload: Uint8Array, signature: Uint8Array): Promise<void> {
  if (!(await verified(owner, signedBytes(OWNER_DOMAIN, payload), signature))) {
    throw new InvalidCertificateError('bad-owner-signature', 'the owner did not sign the certificate');
  }
}

/** The key of an Ed25519 peer is in its id. */
async function verified(signer: PeerId, signed: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (signature.byteLength !== ED25519_SIGNATURE_BYTES || signer.publicKey === undefined) return false;
  return signer.publicKey.verify(signed, signature);
}

/** A signature of one kind can never pass for one of another, nor for anything else that the key signs. */
function signedBytes(domain: string, ...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat([Buffer.from(domain), ...parts]);
}
