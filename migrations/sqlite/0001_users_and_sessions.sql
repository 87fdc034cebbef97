-- Times are microseconds since 1970 in UTC, ids are the 16 bytes of a UUID, truth is 0 or 1.
--
-- Each `…_key` is the folded form of its neighbour (see `folded` in the domain): uniqueness, search and order go by it,
-- byte by byte, so that no collation of SQLite decides anything.

CREATE TABLE users (
    id                BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email             TEXT    NOT NULL,
    email_key         TEXT    NOT NULL UNIQUE,
    first_name        TEXT    NOT NULL,
    first_name_key    TEXT    NOT NULL,
    last_name         TEXT    NOT NULL,
    last_name_key     TEXT    NOT NULL,
    role              TEXT    NOT NULL CHECK (role IN ('user', 'moderator', 'admin')),
    is_active         INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    is_email_verified INTEGER NOT NULL CHECK (is_email_verified IN (0, 1)),
    password          TEXT    NOT NULL,
    last_login        INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    version           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One index per order of the list; the order by e-mail has the one that makes it unique.
CREATE INDEX users_by_created_at ON users (created_at, id);
CREATE INDEX users_by_updated_at ON users (updated_at, id);
CREATE INDEX users_by_first_name ON users (first_name_key, id);
CREATE INDEX users_by_last_name ON users (last_name_key, id);
CREATE INDEX users_active_admins ON users (id) WHERE role = 'admin' AND is_active = 1;

CREATE TABLE sessions (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id    BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expires_at ON sessions (expires_at);
