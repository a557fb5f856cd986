-- Access tokens that were revoked before their end. A row is of use until expires_at.
CREATE TABLE denied_tokens (
    jti             TEXT    NOT NULL PRIMARY KEY,
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    api_key_id      TEXT    NOT NULL,
    expires_at      INTEGER NOT NULL,
    denied_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX denied_tokens_by_key ON denied_tokens (api_key_id, expires_at);
CREATE INDEX denied_tokens_by_end ON denied_tokens (expires_at);
