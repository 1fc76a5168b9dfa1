-- One capture or deploy of one computer. Columns that end in _ms are milliseconds since 1970; columns named _json hold
-- messages as the client and the API know them.
CREATE TABLE session (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    computer         INTEGER NOT NULL REFERENCES computer (id),
    kind             TEXT NOT NULL CHECK (kind IN ('capture', 'deploy')),
    master           TEXT NOT NULL,
    -- Deploy: what is written. Capture: what it became, once it is published.
    version          INTEGER,
    manifest_root    TEXT,
    -- Deploy: what the target must have.
    target_min_bytes INTEGER,
    sector_bytes     INTEGER,
    disk_rule        TEXT,
    -- Either the disk that is meant, or those among which a person has to choose.
    disk_json        TEXT,
    question_json    TEXT,
    state            TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled')),
    phase_json       TEXT,
    progress_json    TEXT NOT NULL,
    attempts         INTEGER NOT NULL,
    boot             INTEGER,
    lease_until_ms   INTEGER,
    failure_json     TEXT,
    requested_ms     INTEGER NOT NULL,
    started_ms       INTEGER,
    ended_ms         INTEGER,
    CHECK ((disk_json IS NULL) <> (question_json IS NULL)),
    CHECK ((lease_until_ms IS NOT NULL) = (state = 'running')),
    CHECK ((failure_json IS NOT NULL) = (state = 'failed')),
    CHECK ((ended_ms IS NULL) = (state IN ('waiting', 'running'))),
    CHECK (kind = 'capture' OR (version IS NOT NULL AND manifest_root IS NOT NULL
        AND target_min_bytes IS NOT NULL AND sector_bytes IS NOT NULL))
) STRICT;

-- A computer does one thing at a time.
CREATE UNIQUE INDEX session_open ON session (computer) WHERE state IN ('waiting', 'running');
CREATE INDEX session_computer ON session (computer, id);
CREATE INDEX session_boot ON session (boot);

-- When each phase of each attempt began and ended, and how far it had come by then.
CREATE TABLE session_phase (
    session       INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    attempt       INTEGER NOT NULL,
    phase_json    TEXT NOT NULL,
    began_ms      INTEGER NOT NULL,
    ended_ms      INTEGER,
    progress_json TEXT,
    PRIMARY KEY (session, attempt, phase_json)
) STRICT;
