-- When the endpoint last took a message. An endpoint that never did gets a smaller share of the concurrency.
ALTER TABLE destination ADD COLUMN answered_at BIGINT;
-- Until when the receiver asked the shop to wait (Retry-After). A new event does not shorten this.
ALTER TABLE destination ADD COLUMN asked_until BIGINT NOT NULL DEFAULT 0;

-- A claim finds endpoints by their pending messages.
DROP INDEX destination_by_turn;
