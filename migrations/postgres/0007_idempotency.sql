-- Requests that a client may send again without doing anything again.

-- id: a digest of the caller, the route and the Idempotency-Key. request: a digest of the body.
-- claim: who is at it. result: the id of what was made; absent while somebody is at it.
CREATE TABLE idempotency (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    request    TEXT   NOT NULL,
    claim      TEXT   NOT NULL,
    claimed_at BIGINT NOT NULL,
    result     TEXT
);
CREATE INDEX idempotency_by_age ON idempotency (claimed_at);
