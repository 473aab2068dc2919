-- The statements that the shop sends for one read of a checkout. See purchase.sql; `:id` is a checkout that exists.
BEGIN READ ONLY;
SELECT * FROM checkout WHERE id = :id LIMIT 1;
COMMIT;
