-- What is left of jobs that are past their retention: enough to know that they were there, and whose.
CREATE TABLE removed (
    number     INTEGER PRIMARY KEY, -- the order in which they were removed
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    created_by BLOB,
    removed_at INTEGER NOT NULL
) STRICT;
