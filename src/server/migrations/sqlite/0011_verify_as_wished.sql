-- A deploy may leave out reading everything back; and how long each phase of a session took, as its client measured it.
ALTER TABLE session ADD COLUMN verify INTEGER NOT NULL DEFAULT 1;
ALTER TABLE session ADD COLUMN phase_times_json TEXT;
