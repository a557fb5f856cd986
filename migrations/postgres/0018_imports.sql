-- API keys that another system gave out, and whose strings its customers go on using.

-- By what a presented string is found: MACs of the whole of it, or of its beginning, under a key
-- that is not in this database. one: no other row has it. What is of one stays when its key ends,
-- so that no string is ever another's.
CREATE TABLE imported_lookups (
    lookup     TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C" NOT NULL REFERENCES api_keys (id),
    one        BIGINT NOT NULL,
    PRIMARY KEY (lookup, api_key_id)
);
CREATE UNIQUE INDEX imported_lookups_of_one ON imported_lookups (lookup) WHERE one = 1;
CREATE INDEX imported_lookups_by_key ON imported_lookups (api_key_id);

-- How long the beginnings are. They are few: each costs every unknown string a look.
CREATE TABLE imported_prefixes (
    length BIGINT NOT NULL PRIMARY KEY
);

-- How far the import of a file is: lines that were read, and what became of them.
CREATE TABLE imports (
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    file_sha256     TEXT COLLATE "C" NOT NULL,
    lines           BIGINT NOT NULL,
    imported        BIGINT NOT NULL,
    rejected        BIGINT NOT NULL,
    begun_at        BIGINT NOT NULL,
    ended_at        BIGINT,
    PRIMARY KEY (organization_id, file_sha256)
);
