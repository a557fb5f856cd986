-- Requests that a client may send again without doing anything again.

-- id: a digest of the caller, the route and the Idempotency-Key. request: a digest of the body.
-- claim: who is at it. result: the id of what was made; absent while somebody is at it.
CREATE TABLE idempotency (
    id         TEXT NOT NULL PRIMARY KEY,
    request    TEXT   NOT NULL,
    claim      TEXT   NOT NULL,
    claimed_at INTEGER NOT NULL,
    result     TEXT
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (claimed_at);
