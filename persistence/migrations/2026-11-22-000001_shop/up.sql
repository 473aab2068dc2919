-- The shop. Money is in minor units, with its currency in another column. Times are milliseconds since 1970 in UTC.

CREATE TABLE product (
  id TEXT NOT NULL PRIMARY KEY,
  title TEXT NOT NULL,
  image_url TEXT
);

CREATE TABLE variant (
  sku TEXT NOT NULL PRIMARY KEY,
  product_id TEXT NOT NULL REFERENCES product (id),
  title TEXT NOT NULL,
  image_url TEXT,
  price BIGINT NOT NULL CHECK (price >= 0),
  currency TEXT NOT NULL,
  requires_shipping BOOLEAN NOT NULL
);
CREATE INDEX variant_by_product ON variant (product_id);

-- The CHECK is the safety net below the rule: never more is held than there is.
CREATE TABLE stock (
  sku TEXT NOT NULL PRIMARY KEY REFERENCES variant (sku),
  on_hand BIGINT NOT NULL,
  held BIGINT NOT NULL,
  CHECK (held >= 0 AND held <= on_hand)
);

CREATE TABLE customer (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL
);
CREATE INDEX customer_by_email ON customer (email);

CREATE TABLE address (
  customer_id TEXT NOT NULL REFERENCES customer (id),
  id TEXT NOT NULL,
  street TEXT,
  extended TEXT,
  locality TEXT,
  region TEXT,
  postal_code TEXT,
  country TEXT,
  first_name TEXT,
  last_name TEXT,
  phone_number TEXT,
  PRIMARY KEY (customer_id, id)
);

CREATE TABLE shipping_rate (
  id TEXT NOT NULL PRIMARY KEY,
  country TEXT,
  service_level TEXT NOT NULL,
  price BIGINT NOT NULL CHECK (price >= 0),
  currency TEXT NOT NULL,
  title TEXT NOT NULL
);

CREATE TABLE discount (
  code TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('percentage', 'fixed_amount')),
  value BIGINT NOT NULL CHECK (value > 0),
  currency TEXT NOT NULL,
  eligible_skus TEXT,
  description TEXT NOT NULL
);

CREATE TABLE free_shipping (
  id TEXT NOT NULL PRIMARY KEY,
  min_subtotal BIGINT,
  currency TEXT NOT NULL,
  eligible_skus TEXT NOT NULL,
  description TEXT NOT NULL
);

CREATE TABLE payment_instrument (
  id TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  brand TEXT NOT NULL,
  last_digits TEXT NOT NULL,
  token TEXT NOT NULL,
  handler TEXT NOT NULL
);

CREATE TABLE checkout (
  id TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  status TEXT NOT NULL,
  version BIGINT NOT NULL,
  currency TEXT NOT NULL,
  page TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  attempt_id TEXT,
  order_id TEXT,
  order_page TEXT,
  details TEXT NOT NULL
);
CREATE UNIQUE INDEX checkout_by_page ON checkout (page);
CREATE INDEX checkout_by_expiry ON checkout (status, expires_at);
CREATE INDEX checkout_by_change ON checkout (status, updated_at);

CREATE TABLE payment_attempt (
  id TEXT NOT NULL PRIMARY KEY,
  checkout_id TEXT NOT NULL,
  handler TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  reference TEXT,
  checks INTEGER NOT NULL,
  claim_key TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL
);
CREATE INDEX payment_attempt_due ON payment_attempt (due_at) WHERE state IN ('opened', 'unknown');

CREATE TABLE orders (
  id TEXT NOT NULL PRIMARY KEY,
  checkout_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  page TEXT NOT NULL,
  currency TEXT NOT NULL,
  expectations TEXT NOT NULL,
  totals TEXT NOT NULL,
  attribution TEXT NOT NULL,
  placed_at BIGINT NOT NULL
);
-- A checkout becomes at most one order.
CREATE UNIQUE INDEX orders_by_checkout ON orders (checkout_id);
CREATE UNIQUE INDEX orders_by_page ON orders (page);

CREATE TABLE order_line (
  order_id TEXT NOT NULL REFERENCES orders (id),
  position INTEGER NOT NULL,
  id TEXT NOT NULL,
  sku TEXT NOT NULL,
  title TEXT NOT NULL,
  image_url TEXT,
  unit_price BIGINT NOT NULL,
  original BIGINT NOT NULL,
  total BIGINT NOT NULL,
  fulfilled BIGINT NOT NULL,
  discount BIGINT NOT NULL,
  PRIMARY KEY (order_id, position),
  CHECK (fulfilled >= 0 AND fulfilled <= total AND total <= original)
);

-- Append-only: no statement updates or deletes a row.
CREATE TABLE order_event (
  order_id TEXT NOT NULL REFERENCES orders (id),
  sequence INTEGER NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  occurred_at BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (order_id, sequence)
);
CREATE UNIQUE INDEX order_event_by_id ON order_event (order_id, id);

CREATE TABLE idempotency_key (
  principal TEXT NOT NULL,
  operation TEXT NOT NULL,
  resource TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  outcome TEXT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (principal, operation, resource, idempotency_key)
);
CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
