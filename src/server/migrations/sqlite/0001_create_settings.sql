-- Values that the appliance made for itself and must keep: keys, the instance's id. One row each.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;
