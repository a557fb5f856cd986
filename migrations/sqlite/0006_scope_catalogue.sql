-- The actions that scopes may name: those of the organization `operator` are known to every
-- organization, and each adds its own. Where there are none at all, every action may be named.
CREATE TABLE scope_catalogue (
    organization_id TEXT    NOT NULL REFERENCES organizations (id),
    action          TEXT    NOT NULL,
    description     TEXT,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, action)
) STRICT;
