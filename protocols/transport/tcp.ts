import type { Transport } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { TCPComponents, TCPOptions } from '@libp2p/tcp';
import { admittingUpgrader } from './admission.ts';
import type { Admission } from './admission.ts';
import { ListenError } from './listen-errors.ts';

/**
 * `@libp2p/tcp` with two traps taken out, and a porter at the door. It hands the dial's signal to `net.connect`, which destroys the socket when the
 * signal fires, also long after the dial: here the socket sees a signal of its own that is cut from the caller's
 * once the dial settles. And failures to listen, which libp2p only logs, are told to `onListenError`. Who comes in is
 * asked of `admission`.
 */
export function detachedTcp(
  options: TCPOptions,
  { admission, onListenError }: { admission: Admission; onListenError: (error: ListenError) => void },
): (components: TCPComponents) => Transport {
  const create = tcp(options);
  return (components) => {
    const transport = create(components);
    const dial = transport.dial.bind(transport);
    const createListener = transport.createListener.bind(transport);

    transport.dial = async (multiaddr, dialOptions) => {
      const { signal } = dialOptions;
      signal.throwIfAborted();
      const dialling = new AbortController();
      const abort = (): void => dialling.abort(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      try {
        return await dial(multiaddr, { ...dialOptions, signal: dialling.signal });
      } finally {
        signal.removeEventListener('abort', abort);
      }
    };
    transport.createListener = (listenerOptions) => {
      const upgrader = admittingUpgrader(listenerOptions.upgrader, admission);
      const listener = createListener({ ...listenerOptions, upgrader });
      const listen = listener.listen.bind(listener);
      listener.listen = async (multiaddr) => {
        try {
          await listen(multiaddr);
        } catch (error) {
          onListenError(new ListenError(multiaddr, error));
          throw error;
        }
      };
      return listener;
    };
    return transport;
  };
}
