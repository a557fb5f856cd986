-- From API keys to tokens: which keys may not be shown to services any more, and which still are.

ALTER TABLE api_keys ADD COLUMN exchange_only INTEGER NOT NULL DEFAULT 0;

-- When a service was last shown a key itself, at a gateway or by introspection, and from where.
CREATE TABLE direct_uses (
    organization_id TEXT    NOT NULL,
    api_key_id      TEXT    NOT NULL PRIMARY KEY,
    last_at         INTEGER NOT NULL,
    address         TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX direct_uses_by_last ON direct_uses (organization_id, last_at, api_key_id);

-- Before there were gateways, a key was itself presented to the management plane alone.
UPDATE usage_counts SET outcome = 'managed' WHERE outcome = 'direct';
