-- Jobs that the queue has taken stay, where it can lose what it took, until they are finished.
ALTER TABLE outbox ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_pending ON outbox (sequence) WHERE handed_over = 0;
CREATE INDEX outbox_handed_over ON outbox (id) WHERE handed_over = 1;
