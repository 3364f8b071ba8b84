-- Films, jobs and what happened to them. Times are milliseconds since 1970, ids the 16 bytes of a UUID.

CREATE TABLE store (
    id BLOB NOT NULL PRIMARY KEY            -- named in every message, so that another store's messages are told apart
) STRICT;

CREATE TABLE films (
    id BLOB NOT NULL PRIMARY KEY,
    film TEXT NOT NULL,                     -- the film as JSON (core::plan::Film)
    title TEXT,                             -- once its story is written; for lists
    submission_key TEXT UNIQUE,             -- http:KEY or amqp:MESSAGE_ID; makes a repeat harmless
    asked TEXT NOT NULL                     -- the request as it came, to tell a repeat from a key used twice
) STRICT;

CREATE TABLE jobs (
    id BLOB NOT NULL PRIMARY KEY,
    film BLOB NOT NULL REFERENCES films (id) ON DELETE CASCADE,
    job TEXT NOT NULL,                      -- the job as JSON (core::job::Job); the columns below repeat what is searched
    kind TEXT NOT NULL,
    profile TEXT NOT NULL,
    status TEXT NOT NULL,
    queued_at INTEGER,
    retry_at INTEGER,
    finished_at INTEGER,
    dispatch_due INTEGER NOT NULL,          -- 1: its attempt must still be published (the outbox)
    dispatched_at INTEGER                   -- when its attempt was published last
) STRICT;

CREATE INDEX jobs_of_film ON jobs (film);
CREATE INDEX jobs_to_retry ON jobs (retry_at) WHERE status = 'retryable';
CREATE INDEX jobs_to_dispatch ON jobs (queued_at) WHERE dispatch_due = 1;
CREATE INDEX jobs_waiting ON jobs (kind, profile, queued_at) WHERE status IN ('queued', 'running');

CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    film BLOB NOT NULL REFERENCES films (id) ON DELETE CASCADE,
    event TEXT NOT NULL                     -- as clients read it (shared::api::FilmEvent)
) STRICT;

CREATE INDEX events_of_film ON events (film, number);

CREATE TABLE paused_workers (
    worker TEXT NOT NULL PRIMARY KEY
) STRICT;
