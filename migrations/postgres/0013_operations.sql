-- What those who run tenmint must know.

-- restores: how often a backup was put in place of this database. place: on PostgreSQL, which
-- database of which cluster this was when it was last known to be no copy.
ALTER TABLE deployment ADD COLUMN restores BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployment ADD COLUMN place TEXT;

-- One row: when a peer that is not trusted to do so last told a client's address.
CREATE TABLE untrusted_forwarding (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seen_at BIGINT NOT NULL,
    peer    TEXT   NOT NULL,
    header  TEXT   NOT NULL
);
