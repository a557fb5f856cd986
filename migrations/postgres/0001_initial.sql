-- Times are Unix seconds. States are nullable times: absent means it has not happened.

-- One row: which root key this database belongs to.
CREATE TABLE deployment (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    root_key   TEXT    NOT NULL,
    created_at BIGINT NOT NULL
);

-- audit_sequence and audit_mac are the head of the organization's audit chain. Every act
-- begins by raising the sequence, which also makes acts on one organization take turns.
CREATE TABLE organizations (
    id                TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name              TEXT    NOT NULL,
    created_at        BIGINT NOT NULL,
    suspended_at      BIGINT,
    bootstrapped_at   BIGINT,
    management_key_id TEXT COLLATE "C",
    audit_sequence    BIGINT NOT NULL,
    audit_mac         BYTEA   NOT NULL
);

-- sealed: the PKCS#8 private key under AES-256-GCM, bound to organization, kid, algorithm.
CREATE TABLE signing_keys (
    kid             TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C"    NOT NULL REFERENCES organizations (id),
    algorithm       TEXT    NOT NULL,
    public_jwk      TEXT    NOT NULL,
    sealed          BYTEA   NOT NULL,
    root_key        TEXT    NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX signing_keys_one_per_organization ON signing_keys (organization_id);

CREATE TABLE api_keys (
    id               TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    organization_id  TEXT COLLATE "C"    NOT NULL REFERENCES organizations (id),
    name             TEXT    NOT NULL,
    description      TEXT,
    scopes           TEXT    NOT NULL,
    allowed_ip_cidrs TEXT    NOT NULL,
    external_id      TEXT,
    metadata         TEXT    NOT NULL,
    created_at       BIGINT NOT NULL,
    created_by       TEXT,
    expires_at       BIGINT,
    revoked_at       BIGINT 
);
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, id);

-- hash: an Argon2id PHC string, peppered from the root key named beside it.
CREATE TABLE api_key_secrets (
    api_key_id  TEXT COLLATE "C"    NOT NULL REFERENCES api_keys (id),
    fingerprint TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    root_key    TEXT    NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (api_key_id, fingerprint)
);

CREATE TABLE audit_events (
    organization_id TEXT COLLATE "C"    NOT NULL REFERENCES organizations (id),
    sequence        BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    actor           TEXT    NOT NULL,
    address         TEXT,
    request_id      TEXT,
    action          TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    details         TEXT    NOT NULL,
    mac             BYTEA   NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);
