-- Jobs that the queue has taken stay, where it can lose what it took, until they are finished.
ALTER TABLE outbox ADD COLUMN handed_over BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX outbox_pending ON outbox (sequence) WHERE NOT handed_over;
CREATE INDEX outbox_handed_over ON outbox (id) WHERE handed_over;
