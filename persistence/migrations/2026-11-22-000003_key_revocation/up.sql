-- When a key was withdrawn. Its row stays: the numbers of the keys tell who has seen them all.
ALTER TABLE signing_key ADD COLUMN revoked_at BIGINT;
