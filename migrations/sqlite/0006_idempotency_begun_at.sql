-- When the first try began: who tries again after it failed, or its process died, goes on with what it began.
ALTER TABLE idempotency_keys ADD COLUMN begun_at INTEGER NOT NULL DEFAULT 0;
UPDATE idempotency_keys SET begun_at = expires_at;
