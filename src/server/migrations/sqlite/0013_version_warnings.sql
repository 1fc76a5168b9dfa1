-- What whoever deploys a version should know of it, as its manifest says: kept beside it, for a manifest takes long to read.
ALTER TABLE master_version ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
