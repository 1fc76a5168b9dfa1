-- Where versions come from that were captured into another library, as that library signed it; a version without a row
-- was captured here.
CREATE TABLE version_provenance (
    master_id     INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    key           BLOB    NOT NULL CHECK (length(key) = 32),
    library       TEXT    NOT NULL, -- the name that it gave itself
    its_master TEXT    NOT NULL,
    its_number INTEGER NOT NULL,
    captured_at   INTEGER NOT NULL, -- milliseconds since 1970, UTC
    signature     BLOB    NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (master_id, number),
    FOREIGN KEY (master_id, number) REFERENCES master_version (master_id, number) ON DELETE CASCADE
) STRICT;

-- Libraries of which a person said that their versions may be taken in.
CREATE TABLE trusted_library (
    key        BLOB    PRIMARY KEY NOT NULL CHECK (length(key) = 32),
    name       TEXT    NOT NULL,
    trusted_at INTEGER NOT NULL -- milliseconds since 1970, UTC
) STRICT;
