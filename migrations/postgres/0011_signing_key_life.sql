-- The life of a signing key: next, active, retiring, retired; or revoked. Times that are absent
-- have not come. retired_at is set for revoked keys too: it says that the key is not published
-- any more, and then `sealed` is empty, because the private half is destroyed.

-- published_at: since when it is in the JWKS. activates_at: when it is to begin to sign, at the
-- earliest. retires_at: until when a key that stopped signing is still published. jitter: by how
-- many thousandths of the interval it is rotated early. due_at: when time itself next changes its
-- state, if it does. imported: 1 when it was made elsewhere.
DROP INDEX signing_keys_one_per_organization;
ALTER TABLE signing_keys ADD COLUMN published_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN activates_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN activated_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN retiring_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN retires_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN retired_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN revoked_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN due_at BIGINT;
ALTER TABLE signing_keys ADD COLUMN jitter BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN imported BIGINT NOT NULL DEFAULT 0;
UPDATE signing_keys
    SET published_at = created_at, activates_at = created_at, activated_at = created_at,
        jitter = created_at % 101;

CREATE INDEX signing_keys_by_organization ON signing_keys (organization_id, created_at, kid);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (organization_id)
    WHERE activated_at IS NOT NULL AND retiring_at IS NULL AND retired_at IS NULL;
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (organization_id)
    WHERE activated_at IS NULL AND retired_at IS NULL;
CREATE INDEX signing_keys_by_due ON signing_keys (due_at) WHERE due_at IS NOT NULL;
