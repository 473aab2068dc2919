-- When the destination last took a message: one that never did gets a smaller share of the concurrency.
ALTER TABLE destination ADD COLUMN answered_at BIGINT;
-- Until when the receiver asked for patience (Retry-After). A new event does not shorten that.
ALTER TABLE destination ADD COLUMN asked_until BIGINT NOT NULL DEFAULT 0;

-- A claim finds destinations by their pending messages.
DROP INDEX destination_by_turn;
