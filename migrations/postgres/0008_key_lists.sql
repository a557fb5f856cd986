-- Lists of API keys are read in the order of an index, whatever they are sorted by, and from
-- where the page before ended: a deep page costs what the first one does.

-- Names sort by bytes, and A to Z as a to z, on every engine and under every locale.
ALTER TABLE api_keys ALTER COLUMN name TYPE TEXT COLLATE "C";

-- Keys that were not revoked have indexes of their own, because those that were only ever grow.
-- 253402300800 stands for no end: it is behind every instant that can be written.
CREATE INDEX api_keys_live ON api_keys (organization_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revoked ON api_keys (organization_id, id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_by_name ON api_keys (organization_id, lower(name), id);
CREATE INDEX api_keys_live_by_name ON api_keys (organization_id, lower(name), id)
    WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_end
    ON api_keys (organization_id, COALESCE(expires_at, 253402300800), id);
CREATE INDEX api_keys_live_by_end
    ON api_keys (organization_id, COALESCE(expires_at, 253402300800), id)
    WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_external_id ON api_keys (organization_id, external_id, id)
    WHERE external_id IS NOT NULL;

-- By whoever made them, as keys show it: the operator's keys are one maker.
CREATE INDEX api_keys_by_maker ON api_keys (
    organization_id,
    (CASE substr(created_by, 1, 9) WHEN 'operator:' THEN 'operator' ELSE created_by END),
    id
);
