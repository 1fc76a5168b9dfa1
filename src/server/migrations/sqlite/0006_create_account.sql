-- Who may administer the appliance. One row, until users and rights get their own design.
CREATE TABLE account (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL, -- a PHC string: algorithm, parameters, salt and hash
    created_at    INTEGER NOT NULL
) STRICT;

-- Browsers that logged in. The cookie's secret is not here, only its fingerprint.
CREATE TABLE login (
    fingerprint BLOB PRIMARY KEY NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

-- Keys for programs. The token's secret is not here, only its fingerprint.
CREATE TABLE api_token (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    fingerprint BLOB NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    CONSTRAINT api_token_name_key UNIQUE (name)
) STRICT;
