-- Which ISSUER servers serve, by their own word: one row for each. announced_until: until when that
-- counts, unless the server says so again. Versions before neither write nor read it.
CREATE TABLE announced_issuers (
    node            TEXT    NOT NULL PRIMARY KEY,
    issuer          TEXT    NOT NULL,
    announced_until INTEGER NOT NULL
) STRICT;
