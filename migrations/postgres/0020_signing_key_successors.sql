-- replaced_by: the kid of the key that began to sign when this one stopped. Absent where none did, or
-- where that was before this column.
ALTER TABLE signing_keys ADD COLUMN replaced_by TEXT;
