-- A computer that is sent into the client and never says a word is not sent there for ever.
-- How many boots in a row were offered and not heard of, and when the last of them was counted.
ALTER TABLE session ADD COLUMN unheard_boots INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN boot_offered_ms INTEGER;
