-- Addresses that DHCP gave, each to one network card. A row outlives its lease: the card gets the address again.
CREATE TABLE lease (
    address TEXT PRIMARY KEY NOT NULL, -- dotted decimal
    mac     TEXT NOT NULL,             -- six pairs of hexadecimal digits, apart by colons
    until   INTEGER NOT NULL           -- end of the lease: milliseconds since 1970 in UTC
) STRICT;
