-- Firmware that passed an address of the boot pool over for another DHCP server's, and is told beside that what to boot.
-- The service says what to forget: a row outlives the choice that it tells of by no more than a restart.
CREATE TABLE firmware_choice (
    mac     TEXT PRIMARY KEY NOT NULL, -- six pairs of hexadecimal digits, apart by colons
    in_vain INTEGER NOT NULL,          -- boots that led nowhere in a row
    proved  INTEGER NOT NULL,          -- whether it booted this way once
    last_ms INTEGER NOT NULL           -- milliseconds since 1970 in UTC
) STRICT, WITHOUT ROWID;
