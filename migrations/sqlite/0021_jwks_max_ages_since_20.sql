-- For how long validators were told that they may cache the JWKS: one row for each JWKS_MAX_AGE of any
-- server, in seconds. announced_until: until when a JWKS may be handed out with it, unless a server says
-- so again; it is in caches for max_age longer. Versions before neither write nor read it.
CREATE TABLE jwks_max_ages (
    max_age         INTEGER NOT NULL PRIMARY KEY CHECK (max_age > 0),
    announced_until INTEGER NOT NULL
) STRICT;
