import { StoreError } from '../../protocols/group-commit/operations.ts';
import { SealedValueError } from '../at-rest/row-sealer.ts';
import type { RowKey, RowSealer } from '../at-rest/row-sealer.ts';

/** A column whose values are sealed for the row that `Row` names. */
export interface SealedColumn<Row extends RowKey> {
  seal(value: Uint8Array, ...row: Row): Uint8Array;
  /** @throws StoreError `corrupt` when it is not what was written there */
  open(sealed: Uint8Array, ...row: Row): Uint8Array;
  sealText(text: string, ...row: Row): Uint8Array;
  /** @throws StoreError `corrupt` */
  openText(sealed: Uint8Array, ...row: Row): string;
}

/** `messages.chain`, `counter` and `id`. */
type MessageKey = [chain: number, counter: number, id: Uint8Array];
/** The row number of a table. */
type Numbered = [row: number];

/** What of the daemon's store is sealed, and by what its rows are found all the same. */
export interface SealedColumns {
  body: SealedColumn<MessageKey>;
  formerBody: SealedColumn<[chain: number, counter: number]>;
  /** A short text could be guessed from its hash: all else that goes into it lies open. An empty one stays empty. */
  lastHash: SealedColumn<Numbered>;
  peerId: SealedColumn<Numbered>;
  card: SealedColumn<Numbered>;
  certificate: SealedColumn<Numbered>;
  addresses: SealedColumn<Numbered>;
  petname: SealedColumn<Numbered>;
  pin: SealedColumn<[placeIndex: Uint8Array]>;
  /** What the user has decided is bound, too: nobody without the key decides for them. */
  keyChange: SealedColumn<[changeIndex: Uint8Array, decided: number]>;
  /** When a key was verified. Nobody without the key makes one count as that. */
  mark: SealedColumn<Numbered>;
  reason: SealedColumn<Numbered>;
  standing: SealedColumn<Numbered>;
  request: SealedColumn<Numbered>;
  invite: SealedColumn<Numbered>;
  meta: SealedColumn<[key: Uint8Array]>;
  outgoingSession: SealedColumn<[peer: number, sessionIndex: Uint8Array]>;
  incomingSession: SealedColumn<[peer: number, sessionIndex: Uint8Array]>;
  /** The id of the session. */
  notice: SealedColumn<[peer: number, kind: number, sessionIndex: Uint8Array]>;
  ownPrekey: SealedColumn<[prekeyIndex: Uint8Array]>;
  receivedPrekey: SealedColumn<[peer: number, prekeyIndex: Uint8Array]>;
  /** Keyed hashes to look up by. */
  peerIdIndex: (peerId: string) => Buffer;
  petnameIndex: (petname: string) => Buffer;
  nameIndex: (name: string) => Buffer;
  /** Of a name and the phonebook that it is in. */
  placeIndex: (name: string, phonebook: string) => Buffer;
  /** Of a name and the peer id that it has come to stand for. */
  changeIndex: (name: string, peerId: string) => Buffer;
  metaIndex: (key: string) => Buffer;
  sessionIndex: (id: Uint8Array) => Buffer;
  prekeyIndex: (id: Uint8Array) => Buffer;
  mailboxIndex: (peerId: string) => Buffer;
}

const decoder = new TextDecoder();

export function sealedColumns(sealer: RowSealer): SealedColumns {
  const column = <Row extends RowKey>(name: string): SealedColumn<Row> => {
    const { seal, open } = sealer.column(name);
    const checked = (sealed: Uint8Array, ...row: Row): Uint8Array => {
      try {
        return open(sealed, ...row);
      } catch (error) {
        if (!(error instanceof SealedValueError)) throw error;
        throw new StoreError(error.message, 'corrupt', { cause: error });
      }
    };
    return {
      seal,
      open: checked,
      sealText: (text, ...row) => seal(Buffer.from(text), ...row),
      openText: (sealed, ...row) => decoder.decode(checked(sealed, ...row)),
    };
  };
  const lastHash = column<Numbered>('chains.last_hash');
  // Of two parts, of which neither has a line break.
  const indexOfTwo = (name: string): ((first: string, second: string) => Buffer) => {
    const index = sealer.index(name);
    return (first, second) => index(`${first}\n${second}`);
  };
  const indexOfId = (name: string): ((id: Uint8Array) => Buffer) => {
    const index = sealer.index(name);
    return (id) => index(Buffer.from(id).toString('hex'));
  };
  return {
    body: column('messages.body'),
    formerBody: column('former_places.body'),
    lastHash: {
      ...lastHash,
      seal: (hash, chain) => (hash.byteLength === 0 ? hash : lastHash.seal(hash, chain)),
      open: (sealed, chain) => (sealed.byteLength === 0 ? sealed : lastHash.open(sealed, chain)),
    },
    peerId: column('peers.peer_id'),
    card: column('peers.card'),
    certificate: column('peers.certificate'),
    addresses: column('peers.addresses'),
    petname: column('contacts.petname'),
    pin: column('pins.pin'),
    keyChange: column('key_changes.change'),
    mark: column('verifications.mark'),
    reason: column('failures.reason'),
    standing: column('standings.standing'),
    request: column('requests.body'),
    invite: column('invites.invite'),
    meta: column('meta.value'),
    outgoingSession: column('outgoing_sessions.session'),
    incomingSession: column('incoming_sessions.session'),
    notice: column('session_notices.session'),
    ownPrekey: column('own_prekeys.prekey'),
    receivedPrekey: column('received_prekeys.prekey'),
    peerIdIndex: sealer.index('peers.peer_id'),
    petnameIndex: sealer.index('contacts.petname'),
    nameIndex: sealer.index('pins.name'),
    placeIndex: indexOfTwo('pins.place'),
    changeIndex: indexOfTwo('key_changes.change'),
    metaIndex: sealer.index('meta.key'),
    sessionIndex: indexOfId('sessions.id'),
    prekeyIndex: indexOfId('prekeys.id'),
    mailboxIndex: sealer.index('own_prekeys.mailbox'),
  };
}
