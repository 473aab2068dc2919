-- The resource that a platform's key is bound to within an operation. The row in idempotency_key has the outcome.
CREATE TABLE idempotency_binding (
  principal TEXT NOT NULL,
  operation TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  resource TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (principal, operation, idempotency_key)
);
