import { fromBinary } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import { AnswerSchema, RequestSchema } from './phonebook_pb.ts';
import type { Answer, Request } from './phonebook_pb.ts';

/** Decodes what a peer asks. What its fields hold is not looked at. @throws InvalidMessageError when it is no Request */
export function decodeRequest(bytes: Uint8Array): Request {
  try {
    return fromBinary(RequestSchema, bytes);
  } catch (error) {
    throw new InvalidMessageError(`not a phonebook request: ${(error as Error).message}`);
  }
}

/** Decodes what a phonebook answers. Nothing of it is proved. @throws InvalidMessageError when it is no Answer */
export function decodeAnswer(bytes: Uint8Array): Answer {
  try {
    return fromBinary(AnswerSchema, bytes);
  } catch {
    throw new InvalidMessageError('the phonebook answered with something that is no answer');
  }
}
