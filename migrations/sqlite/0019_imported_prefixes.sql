-- How long the beginning is that a string is found by: so that a length which no key needs any more
-- costs unknown strings nothing, and is free for others. Absent where whole strings are found, and
-- for beginnings from before this was kept: while there is one, every length counts as needed.
ALTER TABLE imported_lookups ADD COLUMN length INTEGER;
CREATE INDEX imported_lookups_of_beginnings ON imported_lookups (length) WHERE one = 0;
