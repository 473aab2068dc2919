-- The statements that the shop sends to SQLite to read one checkout. `:id` is a checkout that exists. See purchase.sql.
BEGIN;
SELECT * FROM checkout WHERE id = :id LIMIT 1;
COMMIT;
