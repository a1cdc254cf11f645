import type { Multiaddr } from '@multiformats/multiaddr';

/** A program can't listen where it was told to. */
export class ListenError extends Error {
  override name = 'ListenError';
  /** The system's code, as in EADDRINUSE. */
  readonly code: string;
  readonly multiaddr: Multiaddr;

  constructor(multiaddr: Multiaddr, cause: unknown) {
    const code = (cause as { code?: unknown }).code;
    const text = typeof code === 'string' ? code : 'unknown';
    super(`cannot listen on ${multiaddr.toString()}: ${explainListenError(cause)}`, { cause });
    this.code = text;
    this.multiaddr = multiaddr;
  }
}

/** Why a socket can't listen, and what to do about it, for a person. Takes the error of a `net.Server`. */
export function explainListenError(cause: unknown): string {
  switch ((cause as { code?: unknown }).code) {
    case 'EADDRINUSE':
      return 'another process uses this port; stop it or listen on another port';
    case 'EACCES':
      return 'this user may not use this port; take one above 1023 or grant the right to';
    case 'EADDRNOTAVAIL':
      return 'this machine does not have this address; check it or listen on all addresses';
    case 'EAFNOSUPPORT':
      return 'this machine has no IPv6; leave the address out';
    default:
      return (cause as Error).message;
  }
}

/**
 * Which failure to listen must stop the program, if any: a port that is taken always (else it would run unreachable and
 * unnoticed), any other only when there is no address left. IPv6 may be missing.
 *
 * @param wanted how many addresses the program was told to listen on
 */
export function fatalListenError(errors: readonly ListenError[], wanted: number): ListenError | undefined {
  const taken = errors.find(({ code }) => code === 'EADDRINUSE' || code === 'EACCES');
  return taken ?? (errors.length >= wanted ? errors[0] : undefined);
}
