-- The queue has a file of its own. Times are microseconds since 1970 in UTC, durations nanoseconds, ids the 16 bytes of
-- a UUID, truth is 0 or 1.

-- What workers ask for: few rows, to which every job points, so that a worker never wades through jobs it cannot run.
CREATE TABLE lanes (
    lane    INTEGER PRIMARY KEY,
    queue   TEXT    NOT NULL,
    task    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (queue, task, version)
) STRICT;

CREATE TABLE paused (queue TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Those that may hold jobs, and until when.
CREATE TABLE workers (
    worker     TEXT    NOT NULL PRIMARY KEY,
    lease_ends INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `state` counts the states of the domain: 0 scheduled, 1 ready, 2 running, 3 succeeded, 4 failed, 5 dead, 6 cancelled.
CREATE TABLE jobs (
    number           INTEGER PRIMARY KEY, -- the order in which they came

    -- What changes.
    state            INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
    rank             INTEGER NOT NULL, -- of a ready job, from its priority: the lower the sooner
    since            INTEGER NOT NULL, -- when it could run first: its place in that rank
    due              INTEGER,          -- when a scheduled job is ready
    worker           TEXT,             -- who runs it
    attempts         INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    settled          INTEGER,
    cancel           INTEGER NOT NULL,
    suspect          INTEGER NOT NULL,
    strikes          INTEGER NOT NULL,
    struck_at        INTEGER,
    started_at       INTEGER,
    finished_at      INTEGER,
    cause            TEXT,             -- of death
    detail           TEXT,             -- of death
    result           BLOB,             -- of success or failure
    progress_done    INTEGER NOT NULL DEFAULT 0,
    progress_total   INTEGER,
    progress_message TEXT,

    -- What was asked for.
    created_at       INTEGER NOT NULL,
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    lane             INTEGER NOT NULL REFERENCES lanes (lane),
    priority         INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL,
    backoff          INTEGER NOT NULL, -- the first wait
    backoff_cap      INTEGER,          -- the longest wait of an exponential backoff; absent where it is fixed
    timeout          INTEGER NOT NULL,
    scheduled_for    INTEGER,
    unique_by        TEXT,             -- task/key: neither can contain a slash
    created_by       BLOB,
    trace            TEXT,
    payload          BLOB    NOT NULL
) STRICT;

-- One index per question that is asked all the time; a job is only in the one of its state.
CREATE INDEX jobs_ready ON jobs (lane, rank, since) WHERE state = 1;
CREATE INDEX jobs_due ON jobs (due, lane) WHERE state = 0;
CREATE INDEX jobs_held ON jobs (worker, suspect) WHERE state = 2;
CREATE INDEX jobs_ended ON jobs (state, finished_at, lane) WHERE state > 2;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_by) WHERE unique_by IS NOT NULL AND state < 3;

-- The order of lists.
CREATE INDEX jobs_listed ON jobs (created_at, id);
