-- What offline validators must be told of.

-- When the key was last made to permit less than tokens that were out: those of that second and
-- before are void.
ALTER TABLE api_keys ADD COLUMN narrowed_at BIGINT;

-- What ended lately is looked for at every change, among a million keys.
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_by_disabling ON api_keys (disabled_at) WHERE disabled_at IS NOT NULL;
CREATE INDEX api_keys_by_narrowing ON api_keys (narrowed_at) WHERE narrowed_at IS NOT NULL;
CREATE INDEX organizations_by_suspension ON organizations (suspended_at)
    WHERE suspended_at IS NOT NULL;
CREATE INDEX organizations_by_deletion ON organizations (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX signing_keys_by_revocation ON signing_keys (revoked_at) WHERE revoked_at IS NOT NULL;
