-- The actions that scopes may name: those of the organization `operator` are known to every
-- organization, and each adds its own. Where there are none at all, every action may be named.
CREATE TABLE scope_catalogue (
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    action          TEXT COLLATE "C" NOT NULL,
    description     TEXT,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, action)
);
