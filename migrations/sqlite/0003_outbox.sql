-- Jobs on their way to the queue. `sequence` is the order in which they were recorded; durations are nanoseconds.
CREATE TABLE outbox (
    sequence      INTEGER PRIMARY KEY,
    id            BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    task          TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    queue         TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    payload       BLOB    NOT NULL,
    max_attempts  INTEGER NOT NULL,
    backoff       INTEGER NOT NULL, -- the first wait
    backoff_cap   INTEGER,          -- the longest wait of an exponential backoff; absent where it is fixed
    timeout       INTEGER NOT NULL,
    scheduled_for INTEGER,
    unique_key    TEXT,
    created_by    BLOB,
    trace         TEXT
) STRICT;
