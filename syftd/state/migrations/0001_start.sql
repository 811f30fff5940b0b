-- Observations and decisions; work is derived from them. Times are seconds since the epoch, for people only.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Own datasite: the last accepted content. A mirror: what we last put there or found equal to it.
CREATE TABLE file (
  site TEXT NOT NULL, path TEXT NOT NULL, spelling TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, executable INTEGER NOT NULL,
  settled INTEGER NOT NULL, PRIMARY KEY (site, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX file_large ON file (sha256) WHERE size > 262144;

-- What the owner of this datasite made true, in order.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, sha256 TEXT, size INTEGER, before TEXT,
  by TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE INDEX event_path ON event (path, seq);

-- What each reader has been shown.
CREATE TABLE view (
  reader TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, executable INTEGER NOT NULL,
  PRIMARY KEY (reader, path)
) STRICT, WITHOUT ROWID;

-- Our stream to each reader. `behind` is true until everything the reader may see has been told.
CREATE TABLE reader (
  email TEXT PRIMARY KEY, epoch TEXT NOT NULL, next_seq INTEGER NOT NULL, previous TEXT, last_made_at REAL NOT NULL,
  voided TEXT NOT NULL, completed INTEGER NOT NULL, behind INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages on their way. state: due, sent (unread on the transport), void (taken back). `voided` and `verdicts`: the
-- numbers and the verdicts that this message tells, which must be told again when it is taken back itself.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, peer TEXT NOT NULL, kind TEXT NOT NULL, box TEXT NOT NULL, name TEXT NOT NULL,
  seq INTEGER, bytes INTEGER NOT NULL, private INTEGER NOT NULL, state TEXT NOT NULL,
  transport TEXT, due REAL NOT NULL, tries INTEGER NOT NULL, error TEXT NOT NULL DEFAULT '',
  voided TEXT NOT NULL DEFAULT '[]', verdicts TEXT NOT NULL DEFAULT '[]', payload BLOB
) STRICT;
CREATE INDEX outbox_peer ON outbox (peer, id);
CREATE INDEX outbox_state ON outbox (state, peer, id);
CREATE INDEX outbox_name ON outbox (name);
-- What a message speaks of. `content`: it holds what is in the path, not only that it is gone or was decided about.
CREATE TABLE outbox_path (
  outbox INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE, path TEXT NOT NULL, content INTEGER NOT NULL,
  PRIMARY KEY (outbox, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox_chunk (
  outbox INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE, digest TEXT NOT NULL, PRIMARY KEY (outbox, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_chunk_digest ON outbox_chunk (digest);

-- Chunks that lie in our blobs box, and since when; 0: free to go as soon as nothing refers to it, below: perhaps gone.
CREATE TABLE chunk (
  transport TEXT NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (transport, digest)
) STRICT, WITHOUT ROWID;
-- The chunks of large files, so that a file is cut and hashed once.
CREATE TABLE cut (sha256 TEXT PRIMARY KEY, chunks TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Every message ever decided, by its sender and its id, which others may see and use (`untold`: its sender has not been
-- sent the verdict); the effect and this row are one commit.
CREATE TABLE message (
  sender TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, verdict TEXT NOT NULL,
  reason TEXT NOT NULL, current TEXT NOT NULL, untold INTEGER NOT NULL, PRIMARY KEY (sender, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_untold ON message (sender) WHERE untold = 1;

-- Proposals accepted but perhaps not yet on disk. `staged`: where on the stage large content lies.
CREATE TABLE intent (
  sender TEXT NOT NULL, message TEXT NOT NULL, path TEXT NOT NULL, before TEXT, after TEXT, staged TEXT NOT NULL,
  PRIMARY KEY (sender, message, path)
) STRICT, WITHOUT ROWID;

-- Small content that must survive until it is on disk.
CREATE TABLE content (sha256 TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

-- Proposals whose large content is still being fetched. `name` and `box`: their object; `bytes`: of the content.
CREATE TABLE held (
  sender TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, box TEXT NOT NULL, at REAL NOT NULL,
  bytes INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (sender, id)
) STRICT;

-- What owners tell us: the stream's position and the tree as told. `earlier`: epochs that this one took the place of.
CREATE TABLE stream (
  owner TEXT PRIMARY KEY, epoch TEXT NOT NULL, next_seq INTEGER NOT NULL, previous TEXT, completed INTEGER NOT NULL,
  gap_since REAL, asked INTEGER NOT NULL, earlier TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE told (
  owner TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, executable INTEGER NOT NULL, size INTEGER NOT NULL,
  chunks TEXT, epoch TEXT NOT NULL, PRIMARY KEY (owner, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX told_large ON told (sha256) WHERE chunks IS NOT NULL;
-- Handled objects whose removal from the transport (our acknowledgement) waits for their large content.
-- (The key's columns come first: SQLite up to 3.40 takes any other order for damage when it checks a table without rowid.)
CREATE TABLE unacked (
  box TEXT NOT NULL, name TEXT NOT NULL, transport TEXT NOT NULL, sha256 TEXT NOT NULL,
  PRIMARY KEY (box, name, transport, sha256)
) STRICT, WITHOUT ROWID;

-- Our own changes to others' datasites that wait for a verdict.
CREATE TABLE draft (
  owner TEXT NOT NULL, path TEXT NOT NULL, before TEXT, after TEXT, message TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (owner, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX draft_message ON draft (message);

CREATE TABLE peer (
  email TEXT PRIMARY KEY, state TEXT NOT NULL, since REAL NOT NULL, born TEXT NOT NULL, client_version TEXT NOT NULL,
  extensions TEXT NOT NULL, note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE problem (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL, remedy TEXT NOT NULL,
  since REAL NOT NULL, plan TEXT
) STRICT, WITHOUT ROWID;

-- Plans that wait for a person.
CREATE TABLE halt (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, site TEXT NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL,
  paths TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE trash (
  id TEXT PRIMARY KEY, site TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
  at REAL NOT NULL, why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_sha ON trash (sha256);

CREATE TABLE job (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, submitter TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
  digest TEXT NOT NULL, submitted_at REAL NOT NULL, exit_code INTEGER, reason TEXT NOT NULL, facts TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Everything that entered or left, and every decision.
CREATE TABLE record (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
