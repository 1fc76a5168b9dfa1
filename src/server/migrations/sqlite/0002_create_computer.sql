-- An inventoried machine. The four facts are kept beside the report because recognition searches them; they are
-- cleaned (no placeholders) and in lower case.
CREATE TABLE computer (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL COLLATE NOCASE CONSTRAINT computer_name_unique UNIQUE,
    created_ms     INTEGER NOT NULL,
    seen_ms        INTEGER NOT NULL,
    firmware       TEXT NOT NULL CHECK (firmware IN ('bios', 'uefi')),
    secure_boot    TEXT NOT NULL CHECK (secure_boot IN ('on', 'off', 'absent')),
    loader         TEXT NOT NULL DEFAULT 'signed' CHECK (loader IN ('signed', 'ipxe')),
    system_uuid    TEXT,
    system_serial  TEXT,
    board_serial   TEXT,
    chassis_serial TEXT,
    -- The last machine report, as JSON, as the client sent it.
    report         TEXT NOT NULL
) STRICT;

CREATE INDEX computer_system_uuid ON computer (system_uuid);
CREATE INDEX computer_system_serial ON computer (system_serial);
CREATE INDEX computer_board_serial ON computer (board_serial);
CREATE INDEX computer_chassis_serial ON computer (chassis_serial);

-- The network cards of each computer's last report. One address may stand under several computers: a dock that
-- goes round a classroom belongs to each of them.
CREATE TABLE computer_nic (
    mac      TEXT NOT NULL,
    computer INTEGER NOT NULL REFERENCES computer (id) ON DELETE CASCADE,
    PRIMARY KEY (mac, computer)
) STRICT, WITHOUT ROWID;

CREATE INDEX computer_nic_computer ON computer_nic (computer);

-- Tokens that rendered boot scripts carry. Only fingerprints: who reads this table cannot boot with it.
-- A used token stays until it would have expired, so that its second use can be told from an invented one.
CREATE TABLE boot_token (
    fingerprint BLOB PRIMARY KEY NOT NULL,
    mac         TEXT NOT NULL,
    purpose     TEXT NOT NULL CHECK (purpose IN ('session', 'register', 'menu')),
    minted_ms   INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    used_ms     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX boot_token_mac ON boot_token (mac, minted_ms);
CREATE INDEX boot_token_expires ON boot_token (expires_ms);

-- One row for each computer's current boot into the client, with the fingerprint of the credential it shows.
-- The id is never used twice: sessions remember by it which boot works on them.
CREATE TABLE client_boot (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    computer    INTEGER NOT NULL UNIQUE REFERENCES computer (id) ON DELETE CASCADE,
    fingerprint BLOB NOT NULL UNIQUE,
    issued_ms   INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL
) STRICT;
