-- What is destroyed leaves the files of the database too, and who signs meanwhile.

-- One row for each act that destroyed what must not be found again, until it was seen to that
-- nothing of it is left: in SQLite's write-ahead log, in the free space of PostgreSQL's tables.
-- What was destroyed before this table is owed too.
CREATE TABLE erasures (
    organization_id TEXT    NOT NULL,
    sequence        BIGINT  NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);
INSERT INTO erasures (organization_id, sequence) VALUES ('', 0);

-- stands_in_for: how long the modulus is of the RSA key that is being made, and that this key
-- signs for until then; a withdrawal does not wait for it.
ALTER TABLE signing_keys ADD COLUMN stands_in_for BIGINT;
