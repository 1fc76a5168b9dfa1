-- A capture may go on past sectors that cannot be read: how many of them, and how much zeros stand for in what it became.
ALTER TABLE session ADD COLUMN tolerate_bad_sectors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE master_version ADD COLUMN unread_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE master_version ADD COLUMN unread_sectors INTEGER NOT NULL DEFAULT 0;
