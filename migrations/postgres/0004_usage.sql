-- How often each key, and each organization as a whole (api_key_id ''), was used, by outcome.
-- grain: 'hour' or 'day'. Each use is counted in both, so neither is made from the other.
CREATE TABLE usage_counts (
    organization_id TEXT COLLATE "C"    NOT NULL,
    api_key_id      TEXT COLLATE "C"    NOT NULL,
    grain           TEXT COLLATE "C"    NOT NULL,
    starts_at       BIGINT NOT NULL,
    outcome         TEXT COLLATE "C"    NOT NULL,
    count           BIGINT NOT NULL,
    PRIMARY KEY (organization_id, api_key_id, grain, starts_at, outcome)
);
CREATE INDEX usage_counts_by_age ON usage_counts (grain, starts_at);

-- The last use of each secret.
CREATE TABLE secret_uses (
    api_key_id   TEXT COLLATE "C"    NOT NULL,
    fingerprint  TEXT COLLATE "C"    NOT NULL,
    last_used_at BIGINT NOT NULL,
    address      TEXT COLLATE "C",
    user_agent   TEXT,
    PRIMARY KEY (api_key_id, fingerprint)
);

-- From where, and for which scopes, tokens were issued: what a dry run is held against.
-- scope '': none asked. Beyond 200 pairs a day, address and scope are 'other'.
CREATE TABLE exchange_records (
    api_key_id TEXT COLLATE "C"    NOT NULL,
    day        BIGINT NOT NULL,
    address    TEXT COLLATE "C"    NOT NULL,
    scope      TEXT COLLATE "C"    NOT NULL,
    count      BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, day, address, scope)
);
CREATE INDEX exchange_records_by_age ON exchange_records (day);

-- Recent refusals and their true causes. organization_id NULL: nobody's key.
CREATE TABLE refusals (
    request_id      TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C",
    api_key_id      TEXT COLLATE "C",
    at              BIGINT NOT NULL,
    cause           TEXT    NOT NULL,
    detail          TEXT    NOT NULL,
    address         TEXT
);
CREATE INDEX refusals_by_organization ON refusals (organization_id, request_id);
CREATE INDEX refusals_by_key ON refusals (api_key_id, request_id);
CREATE INDEX refusals_by_age ON refusals (at);

-- The servers on this database. batch: the last batch of usage that a server delivered.
CREATE TABLE nodes (
    id         TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    flushed_at BIGINT NOT NULL,
    batch      BIGINT NOT NULL
);

-- Who does what only one server at a time may do, and until when.
CREATE TABLE leases (
    name       TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    held_until BIGINT NOT NULL
);
