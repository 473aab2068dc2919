-- Each import of pricing data changes the revision, so that a program reads the data again only after a change.
CREATE TABLE reference_revision (
  name TEXT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
INSERT INTO reference_revision (name, revision) VALUES ('pricing', 1);
