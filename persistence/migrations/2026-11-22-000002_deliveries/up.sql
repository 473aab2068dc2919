-- Messages about orders, their endpoints, and the signing keys. Leases are times of the database's clock.

CREATE TABLE delivery (
  id TEXT NOT NULL PRIMARY KEY,
  channel TEXT NOT NULL,
  destination TEXT NOT NULL,
  order_id TEXT NOT NULL REFERENCES orders (id),
  sequence INTEGER NOT NULL,
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL,
  occurred_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  attempts INTEGER NOT NULL,
  leased_until BIGINT,
  ended_at BIGINT,
  last_error TEXT
);
-- One message for each event of an order and each endpoint.
CREATE UNIQUE INDEX delivery_by_event ON delivery (order_id, destination, sequence);
CREATE INDEX delivery_due ON delivery (destination, due_at) WHERE state = 'pending';
CREATE INDEX delivery_leased ON delivery (destination, leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX delivery_by_state ON delivery (state, ended_at);
CREATE INDEX delivery_by_age ON delivery (state, id);

CREATE TABLE destination (
  id TEXT NOT NULL PRIMARY KEY,
  channel TEXT NOT NULL,
  served_at BIGINT NOT NULL,
  rest_until BIGINT NOT NULL,
  failures INTEGER NOT NULL,
  failing_since BIGINT,
  disabled_at BIGINT
);
CREATE INDEX destination_by_turn ON destination (channel, served_at) WHERE disabled_at IS NULL;
CREATE INDEX destination_disabled ON destination (disabled_at) WHERE disabled_at IS NOT NULL;

CREATE TABLE platform (
  id TEXT NOT NULL PRIMARY KEY,
  profile TEXT NOT NULL,
  pinned_at BIGINT NOT NULL
);

-- Numbered, so that of two instances that add a key at the same time one succeeds.
CREATE TABLE signing_key (
  number INTEGER NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  private TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  signs_from BIGINT NOT NULL
);
CREATE UNIQUE INDEX signing_key_by_id ON signing_key (id);

ALTER TABLE payment_attempt ADD COLUMN leased_until BIGINT;
CREATE INDEX payment_attempt_held ON payment_attempt (due_at) WHERE state = 'authorized';
CREATE INDEX payment_attempt_by_checkout ON payment_attempt (checkout_id);
CREATE INDEX payment_attempt_by_reference ON payment_attempt (reference);

CREATE TABLE refund (
  id TEXT NOT NULL PRIMARY KEY,
  attempt_id TEXT NOT NULL REFERENCES payment_attempt (id),
  amount BIGINT NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  tries INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  leased_until BIGINT
);
CREATE INDEX refund_by_attempt ON refund (attempt_id);
CREATE INDEX refund_due ON refund (due_at) WHERE state IN ('requested', 'pending');

-- Gateway events. Each is recorded once, by its event id.
CREATE TABLE gateway_event (
  id TEXT NOT NULL PRIMARY KEY,
  reference TEXT,
  received_at BIGINT NOT NULL
);
CREATE INDEX gateway_event_by_age ON gateway_event (received_at);
