-- Few keys at a time are those whose owners were warned that nobody uses them.
CREATE INDEX api_keys_by_unused_warning ON api_keys (organization_id)
    WHERE unused_warned_at IS NOT NULL;
