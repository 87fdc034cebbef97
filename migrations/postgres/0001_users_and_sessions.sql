-- Times are microseconds since 1970 in UTC, as everywhere else in the product.
--
-- Each `…_key` is the folded form of its neighbour (see `folded` in the domain): uniqueness, search and order go by it,
-- byte by byte, so that no collation of the server decides anything.

CREATE TABLE users (
    id                UUID    NOT NULL PRIMARY KEY,
    email             TEXT    NOT NULL,
    email_key         TEXT    COLLATE "C" NOT NULL UNIQUE,
    first_name        TEXT    NOT NULL,
    first_name_key    TEXT    COLLATE "C" NOT NULL,
    last_name         TEXT    NOT NULL,
    last_name_key     TEXT    COLLATE "C" NOT NULL,
    role              TEXT    NOT NULL CHECK (role IN ('user', 'moderator', 'admin')),
    is_active         BOOLEAN NOT NULL,
    is_email_verified BOOLEAN NOT NULL,
    password          TEXT    NOT NULL,
    last_login        BIGINT,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT  NOT NULL,
    version           BIGINT  NOT NULL
);

-- One index per order of the list; the order by e-mail has the one that makes it unique.
CREATE INDEX users_by_created_at ON users (created_at, id);
CREATE INDEX users_by_updated_at ON users (updated_at, id);
CREATE INDEX users_by_first_name ON users (first_name_key, id);
CREATE INDEX users_by_last_name ON users (last_name_key, id);
CREATE INDEX users_active_admins ON users (id) WHERE role = 'admin' AND is_active;

CREATE TABLE sessions (
    id         UUID   NOT NULL PRIMARY KEY,
    user_id    UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expires_at ON sessions (expires_at);
