-- The fencing counter of claims: it only grows, so a late record is recognised after any release or retry.
ALTER TABLE delivery ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
-- The trace of the message's event.
ALTER TABLE delivery ADD COLUMN caused_by TEXT;
CREATE INDEX delivery_dead ON delivery (destination, ended_at) WHERE state = 'dead';

-- The last failure of a streak, which shows whether the streak continues.
ALTER TABLE destination ADD COLUMN failed_at BIGINT;
-- The mail relay is never disabled.
UPDATE destination SET disabled_at = NULL WHERE channel = 'mail';
