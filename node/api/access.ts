import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIPv4 } from 'node:net';
import { ControlError } from '../../protocols/control/errors.ts';

/** Where the HTTP API listens. */
export interface HttpAddress {
  host: string;
  port: number;
}

/**
 * Reads `HOST:PORT`.
 *
 * @throws ControlError `invalid` for a host that other machines can reach: the API is for this user alone
 */
export function parseHttpAddress(text: string): HttpAddress {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || host === '' || port > 65_535) {
    throw new ControlError('invalid', `${text} is not HOST:PORT`, {
      field: 'http',
      hint: 'for example 127.0.0.1:7373, or 127.0.0.1:0 for any free port',
    });
  }
  if (host !== 'localhost' && host !== '::1' && !(isIPv4(host) && host.startsWith('127.'))) {
    throw new ControlError('invalid', `${host} is not a loopback address`, {
      field: 'http',
      hint: 'use 127.0.0.1, [::1] or localhost; to reach the daemon from another machine, forward the port with ssh',
    });
  }
  return { host, port };
}

/**
 * Checks a request that came over TCP. The token keeps other users of this machine out; Host and Origin keep out web
 * pages, which can make the user's browser send requests to loopback, by DNS rebinding under the page's own name.
 *
 * @param token what `Authorization: Bearer` has to carry
 * @param listening the address requests are meant for
 * @returns a check that throws ControlError `forbidden` or `unauthorized`
 */
export function accessCheck(token: string, listening: HttpAddress): (headers: IncomingHttpHeaders) => void {
  const bound = listening.host.includes(':') ? `[${listening.host}]` : listening.host;
  const hosts = new Set(
    ['localhost', '127.0.0.1', '[::1]', bound].flatMap((host) =>
      // Clients leave out the port that http has by default.
      listening.port === 80 ? [host, `${host}:80`] : [`${host}:${listening.port}`],
    ),
  );
  const expected = digest(token);
  return ({ host, origin, authorization }) => {
    const asked = host?.toLowerCase() ?? '';
    if (!hosts.has(asked)) {
      throw new ControlError('forbidden', 'the Host header does not name this daemon', {
        field: 'host',
        hint: `use http://${bound}:${listening.port}`,
      });
    }
    if (origin !== undefined && origin.toLowerCase() !== `http://${asked}`) {
      throw new ControlError('forbidden', 'pages of other origins may not use this daemon', {
        field: 'origin',
      });
    }
    const [, given] = /^bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
    if (given === undefined) {
      throw new ControlError('unauthorized', 'a token is needed', {
        field: 'authorization',
        hint: "send Authorization: Bearer with the token from the daemon's data directory, or use the Unix socket",
      });
    }
    if (!timingSafeEqual(digest(given), expected)) {
      throw new ControlError('unauthorized', 'this is not the token of this daemon', {
        field: 'authorization',
        hint: 'the token may have changed since; read it again',
      });
    }
  };
}

/** Of equal length whatever the token, as the comparison needs. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
