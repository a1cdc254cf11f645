/**
 * What sealed sessions need (docs/adr/0009-sealed-sessions.md): their states, our prekeys with their secrets, prekeys
 * that others gave us directly, and what others still have to be told of their sessions. Ids of sessions and prekeys are
 * seen by mailboxes, so they lie here as keyed hashes: who has the disk and a mailbox can't put the two together.
 *
 * Of a sender's sessions to a peer the newest has its state; of those before it only the hash is left, so that the peer can
 * still say that it lost one. A prekey lies at a mailbox (`mailbox`, a keyed hash), or was handed to a peer, or, a last-resort
 * one, is at all mailboxes. `confirmed` is 0 while no mailbox has said that it has the prekey.
 */
export const SESSIONS_SCHEMA = `
  CREATE TABLE outgoing_sessions (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers,
    session_index BLOB NOT NULL UNIQUE,
    session BLOB
  ) STRICT;
  CREATE INDEX outgoing_sessions_by_peer ON outgoing_sessions (peer);
  CREATE TABLE incoming_sessions (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers,
    session_index BLOB NOT NULL UNIQUE,
    prekey_index BLOB NOT NULL,
    taken_ms INTEGER NOT NULL,
    session BLOB NOT NULL
  ) STRICT;
  CREATE INDEX incoming_sessions_by_peer ON incoming_sessions (peer, taken_ms);
  CREATE TABLE session_notices (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers,
    kind INTEGER NOT NULL,
    session_index BLOB NOT NULL,
    session BLOB NOT NULL,
    UNIQUE (peer, kind, session_index)
  ) STRICT;
  CREATE TABLE own_prekeys (
    id INTEGER PRIMARY KEY,
    prekey_index BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    mailbox BLOB,
    peer INTEGER REFERENCES peers,
    confirmed INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    prekey BLOB NOT NULL
  ) STRICT;
  CREATE TABLE received_prekeys (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers,
    prekey_index BLOB NOT NULL UNIQUE,
    arrived_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    prekey BLOB NOT NULL
  ) STRICT;
  CREATE INDEX received_prekeys_by_peer ON received_prekeys (peer);
`;
