-- The statements that the shop sends to read one checkout. `:id` is a checkout that exists. See purchase.sql.
BEGIN READ ONLY;
SELECT * FROM checkout WHERE id = :id LIMIT 1;
COMMIT;
