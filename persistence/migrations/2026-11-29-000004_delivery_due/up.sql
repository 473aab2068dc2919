-- The messages that are pending have not ended. Another index begins with the state. If the statistics of Postgres say
-- that no message is pending, its planner takes that index, and reads the pending messages of all endpoints for one claim.
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (destination, due_at) WHERE ended_at IS NULL;
