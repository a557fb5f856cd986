-- Access tokens that were revoked before their end. A row is of use until expires_at.
CREATE TABLE denied_tokens (
    jti             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    api_key_id      TEXT COLLATE "C" NOT NULL,
    expires_at      BIGINT NOT NULL,
    denied_at       BIGINT NOT NULL
);
CREATE INDEX denied_tokens_by_key ON denied_tokens (api_key_id, expires_at);
CREATE INDEX denied_tokens_by_end ON denied_tokens (expires_at);
