-- When a key was revoked. Its row stays, because the numbers of the keys show whether an instance has seen all of them.
ALTER TABLE signing_key ADD COLUMN revoked_at BIGINT;
