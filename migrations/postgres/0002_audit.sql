-- Of an entry, address, acting_for and details are personal. digest is over them and salt, and
-- the MAC is over digest: so they can be erased, salt included, and the chain still verifies.
-- Entries without a digest are from before; their MAC is over everything.
ALTER TABLE audit_events ADD COLUMN acting_for TEXT;
ALTER TABLE audit_events ADD COLUMN salt BYTEA;
ALTER TABLE audit_events ADD COLUMN digest BYTEA;

-- One for each filter, in the order of pages.
CREATE INDEX audit_events_by_actor ON audit_events (organization_id, actor, sequence);
CREATE INDEX audit_events_by_acting_for ON audit_events (organization_id, acting_for, sequence);
CREATE INDEX audit_events_by_request ON audit_events (organization_id, request_id, sequence);
CREATE INDEX audit_events_by_action ON audit_events (organization_id, action, sequence);
CREATE INDEX audit_events_by_target ON audit_events (organization_id, target, sequence);
