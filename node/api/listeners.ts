import { lstat, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import { ControlError } from '../../protocols/control/errors.ts';
import type { HttpAddress } from './access.ts';
import {
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  STOP_GRACE_MS,
} from './limits.ts';
import { refusalBody, refusalStatus } from './refusals.ts';

/** A socket's path has 104 bytes on macOS and 108 on Linux, with the zero at its end. */
const MAX_SOCKET_PATH_BYTES = 103;

/** How often connections that have become idle are looked for while closing. */
const CLOSE_POLL_MS = 10;

/** An HTTP server for streams that stay open as long as their client likes. */
export function httpServer(handler: RequestListener): Server {
  const server = createServer(
    {
      requestTimeout: 0,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', refuseConnection);
  return server;
}

/** Answers what is not HTTP, or has headers over the limit. */
function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refused =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new ControlError('too-large', `the headers are over the limit of ${MAX_HEADER_BYTES} bytes`)
      : new ControlError('invalid', 'this is not an HTTP request, or it came too slowly');
  const body = JSON.stringify(refusalBody(refused));
  socket.end(
    `HTTP/1.1 ${refusalStatus(refused)} Refused\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

function settled(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    server.once('error', reject);
  });
}

/**
 * Listens on a Unix socket that only this user can open. A socket left behind by a daemon that died is replaced: the
 * caller holds the lock on the data directory.
 *
 * @throws ControlError `invalid` when the path is too long or is something other than a socket
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new ControlError(
      'invalid',
      `${path} is too long for a socket: over ${MAX_SOCKET_PATH_BYTES} bytes`,
      {
        field: 'dataDir',
        hint: 'choose a data directory with a shorter path',
      },
    );
  }
  // A named pipe of Windows is no file, and goes with its daemon.
  if (process.platform !== 'win32') {
    const there = await lstat(path).catch(() => undefined);
    if (there !== undefined && !there.isSocket()) {
      throw new ControlError('invalid', `${path} is in the way: it is not a socket`, {
        field: 'dataDir',
        hint: 'move it elsewhere',
      });
    }
    await rm(path, { force: true });
  }
  const listening = settled(server);
  // The file is made inside this call, so that at no moment others can open it.
  const before = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  await listening;
}

/**
 * Listens on a loopback port.
 *
 * @returns the address in use: port 0 has become a real one
 * @throws ControlError `conflict` when the port is taken
 */
export async function listenOnPort(server: Server, { host, port }: HttpAddress): Promise<HttpAddress> {
  const listening = settled(server);
  server.listen({ host, port });
  try {
    await listening;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EADDRINUSE') throw error;
    throw new ControlError('conflict', `port ${port} on ${host} is in use`, {
      field: 'http',
      hint: 'choose another one, or port 0 for any that is free',
      cause: error,
    });
  }
  const bound = server.address() as { address: string; port: number };
  return { host: bound.address, port: bound.port };
}

/** Closes a server: connections as they become idle, and all that are left after half a second. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const idle = setInterval(() => server.closeIdleConnections(), CLOSE_POLL_MS);
  const rest = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  clearInterval(idle);
  clearTimeout(rest);
}
