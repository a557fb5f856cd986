-- Which edit of an organization's name and policies another builds on; and how many of its keys
-- are active, which a policy can bound.

ALTER TABLE organizations ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
CREATE INDEX api_keys_active ON api_keys (organization_id, expires_at)
    WHERE revoked_at IS NULL AND disabled_at IS NULL;
