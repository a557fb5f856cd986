-- The life of an API key: edited, disabled, rotated, revoked for a reason, given roles.

-- revision rises with every act on the key. next_notice_at: when it is next told that the key
-- nears its end, or has come to it. unused_warned_at: when it was told that nobody uses the key.
ALTER TABLE api_keys ADD COLUMN disabled_at BIGINT;
ALTER TABLE api_keys ADD COLUMN revoke_reason TEXT;
ALTER TABLE api_keys ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN rate_limit BIGINT;
ALTER TABLE api_keys ADD COLUMN rate_window BIGINT;
ALTER TABLE api_keys ADD COLUMN next_notice_at BIGINT;
ALTER TABLE api_keys ADD COLUMN unused_warned_at BIGINT;
UPDATE api_keys SET next_notice_at = expires_at - 2592000
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX api_keys_by_notice ON api_keys (next_notice_at) WHERE next_notice_at IS NOT NULL;

-- The secret without an end is the key's own; at most one other has an end, which a rotation set.
ALTER TABLE api_key_secrets ADD COLUMN expires_at BIGINT;
CREATE UNIQUE INDEX api_key_secrets_one_lasting ON api_key_secrets (api_key_id)
    WHERE expires_at IS NULL;
CREATE UNIQUE INDEX api_key_secrets_one_ending ON api_key_secrets (api_key_id)
    WHERE expires_at IS NOT NULL;

-- scopes: space-separated, as in a token.
CREATE TABLE roles (
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    name            TEXT COLLATE "C" NOT NULL,
    description     TEXT,
    scopes          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    revision        BIGINT NOT NULL,
    PRIMARY KEY (organization_id, name)
);

CREATE TABLE api_key_roles (
    api_key_id      TEXT COLLATE "C" NOT NULL REFERENCES api_keys (id),
    organization_id TEXT COLLATE "C" NOT NULL,
    role            TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (api_key_id, role),
    FOREIGN KEY (organization_id, role) REFERENCES roles (organization_id, name)
);
CREATE INDEX api_key_roles_by_role ON api_key_roles (organization_id, role, api_key_id);

-- What an organization may do with its keys: as the operator bounds it, and as it bounds itself.
-- A deleted organization keeps its row, for its id and its audit chain.
ALTER TABLE organizations ADD COLUMN operator_policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE organizations ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE organizations ADD COLUMN deleted_at BIGINT;
