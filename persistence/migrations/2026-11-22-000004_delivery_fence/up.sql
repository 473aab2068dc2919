-- How often a message was claimed: it only grows, so it tells a late record from a current one whatever was given back.
ALTER TABLE delivery ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
-- The trace of whatever the message tells of.
ALTER TABLE delivery ADD COLUMN caused_by TEXT;
CREATE INDEX delivery_dead ON delivery (destination, ended_at) WHERE state = 'dead';

-- The last failure of a streak, so that one long ago is told from one that goes on.
ALTER TABLE destination ADD COLUMN failed_at BIGINT;
-- The shop's own relay is not disabled any more.
UPDATE destination SET disabled_at = NULL WHERE channel = 'mail';
