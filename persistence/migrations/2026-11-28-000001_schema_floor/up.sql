-- A step that removes something names the newest step that a program must know to run without it. Programs that do not
-- know that step refuse to start, and become unready.
CREATE TABLE schema_floor (
  version TEXT NOT NULL PRIMARY KEY
);
