-- `status`, `headers` (a JSON array of pairs) and `body` are the recorded answer, present only in progress 'answered'.
CREATE TABLE idempotency_keys (
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BYTEA   NOT NULL CHECK (length(fingerprint) = 32),
    progress    TEXT    NOT NULL CHECK (progress IN ('running', 'answered', 'withheld')),
    status      INTEGER,
    headers     TEXT,
    body        BYTEA,
    expires_at  BIGINT  NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_keys_by_expires_at ON idempotency_keys (expires_at);
