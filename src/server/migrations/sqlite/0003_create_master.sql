-- A master is a line of versions under one name. It exists from its first version on.
CREATE TABLE master (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL -- milliseconds since 1970, UTC
) STRICT;

-- Names that differ only in capitals would be mistaken for each other.
CREATE UNIQUE INDEX master_name ON master (lower(name));

CREATE TABLE master_version (
    master_id     INTEGER NOT NULL REFERENCES master (id),
    number        INTEGER NOT NULL CHECK (number > 0),
    manifest_root TEXT    NOT NULL CHECK (length(manifest_root) = 64),
    created_at    INTEGER NOT NULL,
    disk_bytes    INTEGER NOT NULL,
    carried_bytes INTEGER NOT NULL,
    stored_bytes  INTEGER NOT NULL,
    computer_id   INTEGER, -- of another domain, hence no foreign key; the computer may be gone
    session_id    INTEGER,
    PRIMARY KEY (master_id, number)
) STRICT;

-- A capture that hands in its manifest twice (its first answer was lost) gets the version it already made.
CREATE UNIQUE INDEX master_version_session ON master_version (session_id);

CREATE TRIGGER master_version_never_changes BEFORE UPDATE ON master_version
BEGIN
    SELECT RAISE(ABORT, 'a version never changes');
END;
