-- The statements that the shop sends to SQLite for one purchase (create, update, complete), with the same rows, indexes and
-- commits, but without a program around them. They are the fastest purchase that the engine allows. Background work of the
-- shop, such as sending the webhook, is not included. sqlite_engine.py runs this file. `:doc` is a text of the size of a
-- checkout document. Each statement is one line. The benchmark records the statements for Postgres, and prints how this
-- file differs from them.
\set n random(1, 1000000000000000)
\set s random(1, 20)
-- checkout.create
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('bench', 'checkout.create', '', 'c' || :n, 'f', 1) ON CONFLICT DO NOTHING;
SELECT v.sku, v.title, v.image_url, v.price, v.requires_shipping, s.on_hand, s.held FROM variant v LEFT OUTER JOIN stock s ON s.sku = v.sku WHERE v.sku IN ('bench_' || :s) AND v.currency = 'USD' LIMIT 100;
INSERT INTO checkout (id, owner, status, version, currency, page, created_at, updated_at, expires_at, details) VALUES ('c' || :n, 'bench', 'incomplete', 1, 'USD', 'c' || :n, 1, 1, 1, :doc);
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'bench' AND operation = 'checkout.create' AND resource = '' AND idempotency_key = 'c' || :n;
COMMIT;
-- checkout.update
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('bench', 'checkout.update', 'c' || :n, 'u' || :n, 'f', 1) ON CONFLICT DO NOTHING;
INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) VALUES ('bench', 'checkout.update', 'u' || :n, 'c' || :n, 1) ON CONFLICT (principal, operation, idempotency_key) DO UPDATE SET created_at = excluded.created_at RETURNING resource;
SELECT * FROM checkout WHERE id = 'c' || :n;
SELECT v.sku, v.title, v.image_url, v.price, v.requires_shipping, s.on_hand, s.held FROM variant v LEFT OUTER JOIN stock s ON s.sku = v.sku WHERE v.sku IN ('bench_' || :s) AND v.currency = 'USD' LIMIT 100;
SELECT code, kind, value, eligible_skus, description FROM discount WHERE code IN ('10OFF') AND currency = 'USD' LIMIT 20;
SELECT id, country, service_level, price, title FROM shipping_rate WHERE currency = 'USD' ORDER BY id LIMIT 500;
SELECT id, min_subtotal, eligible_skus, description FROM free_shipping WHERE currency = 'USD' ORDER BY id LIMIT 500;
UPDATE checkout SET status = 'ready_for_complete', version = 2, updated_at = 2, details = :doc WHERE id = 'c' || :n AND version = 1;
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'bench' AND operation = 'checkout.update' AND resource = 'c' || :n AND idempotency_key = 'u' || :n;
COMMIT;
-- checkout.begin_completion
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('bench', 'checkout.complete', 'c' || :n, 'p' || :n, 'f', 1) ON CONFLICT DO NOTHING;
INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) VALUES ('bench', 'checkout.complete', 'p' || :n, 'c' || :n, 1) ON CONFLICT (principal, operation, idempotency_key) DO UPDATE SET created_at = excluded.created_at RETURNING resource;
SELECT * FROM checkout WHERE id = 'c' || :n;
SELECT sku, on_hand, held FROM stock WHERE sku IN ('bench_' || :s) ORDER BY sku;
UPDATE stock SET on_hand = on_hand, held = held + 1 WHERE sku = 'bench_' || :s;
INSERT INTO payment_attempt (id, checkout_id, handler, amount, currency, state, checks, claim_key, created_at, due_at, leased_until) VALUES ('p' || :n, 'c' || :n, 'mock_payment_handler', 1, 'USD', 'opened', 0, 'p' || :n, 1, 1, 1);
UPDATE checkout SET status = 'complete_in_progress', version = 3, updated_at = 3, attempt_id = 'p' || :n, details = :doc WHERE id = 'c' || :n AND version = 2;
COMMIT;
-- payment.record_reference
BEGIN;
UPDATE payment_attempt SET reference = 'r' || :n WHERE id = 'p' || :n;
COMMIT;
-- checkout.settle
BEGIN;
SELECT * FROM payment_attempt WHERE id = 'p' || :n;
SELECT * FROM checkout WHERE id = 'c' || :n;
SELECT sku, on_hand, held FROM stock WHERE sku IN ('bench_' || :s) ORDER BY sku;
INSERT INTO orders (id, checkout_id, owner, page, currency, expectations, totals, attribution, placed_at) VALUES ('o' || :n, 'c' || :n, 'bench', 'o' || :n, 'USD', '[]', '[]', '{}', 1);
INSERT INTO order_line (order_id, position, id, sku, title, unit_price, original, total, fulfilled, discount) VALUES ('o' || :n, 0, 'li_1', 'bench_1', 'Bench', 1, 1, 1, 0, 0);
INSERT INTO order_event (order_id, sequence, id, kind, occurred_at, body) VALUES ('o' || :n, 0, 'evt_placed', 'placed', 1, '{}');
SELECT disabled_at FROM destination WHERE id = 'webhook_bench' LIMIT 1;
INSERT INTO delivery (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, attempts, ended_at) VALUES ('m' || :n, 'webhook', 'webhook_bench', 'o' || :n, 0, 'order_placed', :doc, 'delivered', 1, 1, 1, 1);
UPDATE stock SET on_hand = on_hand - 1, held = held - 1 WHERE sku = 'bench_' || :s;
UPDATE payment_attempt SET state = 'confirmed', due_at = 1, leased_until = NULL WHERE id = 'p' || :n;
UPDATE checkout SET status = 'completed', version = 4, updated_at = 4, order_id = 'o' || :n, order_page = 'o' || :n WHERE id = 'c' || :n AND version = 3;
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'bench' AND operation = 'checkout.complete' AND resource = 'c' || :n AND idempotency_key = 'p' || :n;
COMMIT;
