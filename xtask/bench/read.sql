-- The statement that the shop sends to SQLite to read one checkout. `:id` is a checkout that exists. See purchase.sql.
SELECT id, owner, status, version, currency, page, created_at, updated_at, expires_at, attempt_id, order_id, order_page, details FROM checkout WHERE id = :id LIMIT 1;
