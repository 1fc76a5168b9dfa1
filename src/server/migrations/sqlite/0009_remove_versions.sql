-- Versions can be removed, and a name with a number never comes to mean another version: the highest number that was
-- ever given stays with the name, also when no version is left under it.
ALTER TABLE master ADD COLUMN last_number INTEGER NOT NULL DEFAULT 0;
UPDATE master SET last_number =
    (SELECT COALESCE(MAX(number), 0) FROM master_version WHERE master_id = master.id);
