-- Root keys that were current once; `deployment` names the one that is. trace: what such a key
-- leaves, sealed under the current one; absent while something still needs the key itself.
CREATE TABLE former_root_keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    superseded_at BIGINT  NOT NULL,
    trace         BYTEA,
    dropped_at    BIGINT
);

-- Which root key each server works with, and which (space-separated) it holds.
CREATE TABLE root_key_holders (
    node    TEXT    NOT NULL PRIMARY KEY,
    in_use  TEXT    NOT NULL,
    held    TEXT    NOT NULL,
    seen_at BIGINT  NOT NULL
);

-- root_key: under which one the organization's audit chain goes on and its signing keys are
-- sealed. Up to anchor_sequence its chain stood under earlier ones; anchor_proof vouches for that.
ALTER TABLE organizations ADD COLUMN root_key TEXT NOT NULL DEFAULT '';
ALTER TABLE organizations ADD COLUMN anchor_sequence BIGINT;
ALTER TABLE organizations ADD COLUMN anchor_proof BYTEA;
UPDATE organizations SET root_key = (SELECT root_key FROM deployment WHERE id = 1)
    WHERE EXISTS (SELECT 1 FROM deployment);

-- Few secrets at a time depend on another root key than most.
CREATE INDEX api_key_secrets_by_root_key ON api_key_secrets (root_key, api_key_id);
