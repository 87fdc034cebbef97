-- Jobs on their way to the queue. `sequence` is the order in which they were recorded; durations are nanoseconds.
CREATE TABLE outbox (
    sequence      BIGINT   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            UUID     NOT NULL UNIQUE,
    task          TEXT     NOT NULL,
    version       BIGINT   NOT NULL,
    queue         TEXT     NOT NULL,
    priority      SMALLINT NOT NULL,
    payload       BYTEA    NOT NULL,
    max_attempts  BIGINT   NOT NULL,
    backoff       BIGINT   NOT NULL, -- the first wait
    backoff_cap   BIGINT,            -- the longest wait of an exponential backoff; absent where it is fixed
    timeout       BIGINT   NOT NULL,
    scheduled_for BIGINT,
    unique_key    TEXT,
    created_by    UUID,
    trace         TEXT
);
