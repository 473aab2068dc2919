-- The statements that the shop sends to SQLite for one purchase (create, update, complete) of a known buyer, with the same
-- rows, indexes and commits, but without a program around them. They are the fastest purchase that the engine allows.
-- Background work of the shop, such as sending the webhook, is not included. sqlite_engine.py runs this file. `:doc` is a
-- text of the size of a document, `:fresh` a text of 32 digits that grows from run to run, `:token` a random one, and `:s` the
-- number of a product. Each statement is one line. The benchmark prints how this file differs from the statements that it
-- records on Postgres.
-- checkout.create
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('http://localhost/bench-agent.json', 'checkout.create', '', 'c' || :fresh, :token || :token, 1795943189500) ON CONFLICT (principal, operation, resource, idempotency_key) DO NOTHING;
SELECT variant.sku, variant.title, variant.image_url, variant.price, variant.requires_shipping, stock.on_hand, stock.held, (SELECT revision FROM reference_revision WHERE name = 'pricing' LIMIT 1) FROM variant LEFT OUTER JOIN stock ON stock.sku = variant.sku WHERE variant.sku IN (SELECT value FROM json_each('["bench_' || :s || '"]')) AND variant.currency = 'USD' LIMIT 100;
INSERT INTO checkout (id, owner, status, version, currency, page, created_at, updated_at, expires_at, attempt_id, order_id, order_page, details) VALUES ('chk_' || :fresh, 'http://localhost/bench-agent.json', 'incomplete', 1, 'USD', :token, 1795943189500, 1795943189500, 1795943189500, NULL, NULL, NULL, :doc);
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'http://localhost/bench-agent.json' AND operation = 'checkout.create' AND resource = '' AND idempotency_key = 'c' || :fresh;
COMMIT;
-- checkout.update
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('http://localhost/bench-agent.json', 'checkout.update', 'chk_' || :fresh, 'u' || :fresh, :token || :token, 1795943189500) ON CONFLICT (principal, operation, resource, idempotency_key) DO NOTHING;
INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) VALUES ('http://localhost/bench-agent.json', 'checkout.update', 'u' || :fresh, 'chk_' || :fresh, 1795943189500) ON CONFLICT (principal, operation, idempotency_key) DO UPDATE SET created_at = excluded.created_at RETURNING resource;
SELECT id, owner, status, version, currency, page, created_at, updated_at, expires_at, attempt_id, order_id, order_page, details FROM checkout WHERE id = 'chk_' || :fresh LIMIT 1;
SELECT variant.sku, variant.title, variant.image_url, variant.price, variant.requires_shipping, stock.on_hand, stock.held, (SELECT revision FROM reference_revision WHERE name = 'pricing' LIMIT 1) FROM variant LEFT OUTER JOIN stock ON stock.sku = variant.sku WHERE variant.sku IN (SELECT value FROM json_each('["bench_' || :s || '"]')) AND variant.currency = 'USD' LIMIT 100;
SELECT address.customer_id, address.id, address.street, address.extended, address.locality, address.region, address.postal_code, address.country, address.first_name, address.last_name, address.phone_number FROM address INNER JOIN customer ON address.customer_id = customer.id WHERE customer.email = 'bench@example.com' ORDER BY address.customer_id = 'cust_bench@example.com' DESC, customer_id, address.id LIMIT 70;
UPDATE checkout SET owner = 'http://localhost/bench-agent.json', status = 'ready_for_complete', version = 2, currency = 'USD', page = :token, created_at = 1795943189500, updated_at = 1795943189500, expires_at = 1795943189500, attempt_id = NULL, order_id = NULL, order_page = NULL, details = :doc WHERE id = 'chk_' || :fresh AND version = 1;
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'http://localhost/bench-agent.json' AND operation = 'checkout.update' AND resource = 'chk_' || :fresh AND idempotency_key = 'u' || :fresh;
COMMIT;
-- checkout.begin_completion
BEGIN;
INSERT INTO idempotency_key (principal, operation, resource, idempotency_key, fingerprint, created_at) VALUES ('http://localhost/bench-agent.json', 'checkout.complete', 'chk_' || :fresh, 'p' || :fresh, :token || :token, 1795943189500) ON CONFLICT (principal, operation, resource, idempotency_key) DO NOTHING;
INSERT INTO idempotency_binding (principal, operation, idempotency_key, resource, created_at) VALUES ('http://localhost/bench-agent.json', 'checkout.complete', 'p' || :fresh, 'chk_' || :fresh, 1795943189500) ON CONFLICT (principal, operation, idempotency_key) DO UPDATE SET created_at = excluded.created_at RETURNING resource;
SELECT id, owner, status, version, currency, page, created_at, updated_at, expires_at, attempt_id, order_id, order_page, details FROM checkout WHERE id = 'chk_' || :fresh LIMIT 1;
SELECT sku, on_hand, held FROM stock WHERE sku IN (SELECT value FROM json_each('["bench_' || :s || '"]'));
INSERT INTO payment_attempt (id, checkout_id, handler, amount, currency, state, checks, claim_key, created_at, due_at, leased_until) VALUES ('pay_' || :fresh, 'chk_' || :fresh, 'mock_payment_handler', 1400, 'USD', 'opened', 0, 'p' || :fresh, 1795943189500, 1795943189500, CAST(strftime('%s') AS BIGINT) * 1000 + 15000);
UPDATE checkout SET owner = 'http://localhost/bench-agent.json', status = 'complete_in_progress', version = 3, currency = 'USD', page = :token, created_at = 1795943189500, updated_at = 1795943189500, expires_at = 1795943189500, attempt_id = 'pay_' || :fresh, order_id = NULL, order_page = NULL, details = :doc WHERE id = 'chk_' || :fresh AND version = 2;
UPDATE stock SET on_hand = on_hand + 0 * d.value, held = held + 1 * d.value FROM json_each('{"bench_' || :s || '":1}') d WHERE sku = d.key AND on_hand - held >= 1 * d.value RETURNING sku;
COMMIT;
-- payment.record_reference
BEGIN;
UPDATE payment_attempt SET reference = 'mock_' || :token WHERE id = 'pay_' || :fresh;
COMMIT;
-- checkout.settle
BEGIN;
SELECT payment_attempt.id, payment_attempt.checkout_id, payment_attempt.handler, payment_attempt.amount, payment_attempt.currency, payment_attempt.state, payment_attempt.reference, payment_attempt.checks, payment_attempt.claim_key, payment_attempt.created_at, checkout.id, checkout.owner, checkout.status, checkout.version, checkout.currency, checkout.page, checkout.created_at, checkout.updated_at, checkout.expires_at, checkout.attempt_id, checkout.order_id, checkout.order_page, checkout.details FROM payment_attempt INNER JOIN checkout ON checkout.id = payment_attempt.checkout_id WHERE payment_attempt.id = 'pay_' || :fresh LIMIT 1;
SELECT customer.id, address.customer_id, address.id, address.street, address.extended, address.locality, address.region, address.postal_code, address.country, address.first_name, address.last_name, address.phone_number FROM customer LEFT OUTER JOIN address ON address.customer_id = customer.id AND address.id = 'dest_1' WHERE customer.email = 'bench@example.com' LIMIT 10;
SELECT id, disabled_at FROM destination WHERE id IN (SELECT value FROM json_each('["webhook:http://localhost/bench-agent.json"]')) LIMIT 1;
INSERT INTO orders (id, checkout_id, owner, page, currency, expectations, totals, attribution, placed_at) VALUES ('ord_' || :fresh, 'chk_' || :fresh, 'http://localhost/bench-agent.json', :token, 'USD', substr(:doc, 1, 277), substr(:doc, 1, 221), '{}', 1795943189500);
INSERT INTO order_line (order_id, position, id, sku, title, image_url, unit_price, original, total, fulfilled, discount) VALUES ('ord_' || :fresh, 0, 'li_1', 'bench_' || :s, 'bench_1', NULL, 1000, 1, 1, 0, 0);
INSERT INTO order_event (order_id, sequence, id, kind, occurred_at, body) VALUES ('ord_' || :fresh, 0, 'evt_placed', 'placed', 1795943189500, '{}');
INSERT INTO delivery (id, channel, destination, order_id, sequence, event, body, state, occurred_at, due_at, attempts, leased_until, ended_at, last_error, claims, caused_by) VALUES ('msg_' || :fresh, 'webhook', 'webhook:http://localhost/bench-agent.json', 'ord_' || :fresh, 0, 'order_placed', :doc, 'pending', 1795943189500, 1795943189500, 0, NULL, NULL, NULL, 0, :token);
UPDATE payment_attempt SET state = 'confirmed', due_at = 1795943189500, leased_until = NULL WHERE id = 'pay_' || :fresh AND state = 'opened';
UPDATE checkout SET status = 'completed', version = 4, updated_at = 1795943189500, order_id = 'ord_' || :fresh, order_page = :token WHERE id = 'chk_' || :fresh AND version = 3;
UPDATE idempotency_key SET outcome = :doc WHERE principal = 'http://localhost/bench-agent.json' AND operation = 'checkout.complete' AND resource = 'chk_' || :fresh AND idempotency_key = 'p' || :fresh;
UPDATE stock SET on_hand = on_hand + -1 * d.value, held = held + -1 * d.value FROM json_each('{"bench_' || :s || '":1}') d WHERE sku = d.key AND on_hand - held >= -1 * d.value RETURNING sku;
COMMIT;
