import { InvalidMessageError } from '@libp2p/interface';
import { CODE_P2P, registry } from '@multiformats/multiaddr';

/**
 * Makes every multiaddr that this process reads refuse peer ids longer than any there is. To be imported, for this alone,
 * wherever multiaddrs of others are read.
 *
 * A peer id in a multiaddr is written out in base58, which takes time by the square of its length: 32 KiB of it kept a
 * node busy for 5 s, and libp2p reads addresses out of identify, the DHT and peer records before anything is proved.
 */

/** The longest key that stands in a peer id as it is (42 bytes), with its multihash; a CID adds two. */
const MAX_PEER_ID_BYTES = 64;

/** Bytes take 1.4 characters each in base58, and 1.6 in the base32 of a CID. */
const MAX_PEER_ID_CHARACTERS = 2 * MAX_PEER_ID_BYTES;

const p2p = registry.getProtocol(CODE_P2P);
registry.removeProtocol(CODE_P2P);
registry.addProtocol({
  ...p2p,
  bytesToValue(bytes) {
    if (bytes.byteLength > MAX_PEER_ID_BYTES) throw tooLong();
    return p2p.bytesToValue!(bytes);
  },
  valueToBytes(text) {
    if (text.length > MAX_PEER_ID_CHARACTERS) throw tooLong();
    return p2p.valueToBytes!(text);
  },
});

function tooLong(): InvalidMessageError {
  return new InvalidMessageError(`a peer id in a multiaddr has at most ${MAX_PEER_ID_BYTES} bytes`);
}
