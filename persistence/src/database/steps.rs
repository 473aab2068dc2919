//! The steps of the schema: one folder for both engines, embedded in the program.
//!
//! `migrations/<name>/up.sql` is run on both engines. Where a step must differ, its folder has `up.sqlite.sql` and
//! `up.postgres.sql` instead. A test compares this list with the folder.

use std::fmt;

use diesel::backend::Backend;
use diesel::connection::BoxableConnection;
use diesel::migration::{Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion, Result};

use super::Engine;

macro_rules! file {
    ($name:literal, $file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, "/", $file))
    };
}
macro_rules! step {
    ($name:literal) => {
        Step { name: $name, sqlite: file!($name, "up.sql"), postgres: file!($name, "up.sql") }
    };
    ($name:literal, differs) => {
        Step { name: $name, sqlite: file!($name, "up.sqlite.sql"), postgres: file!($name, "up.postgres.sql") }
    };
}

/// Every step, in the order in which the steps are applied. A released step is never changed.
pub(super) const STEPS: &[Step] = &[
    step!("2026-11-22-000001_shop"),
    step!("2026-11-22-000002_deliveries"),
    step!("2026-11-22-000003_key_revocation"),
    step!("2026-11-22-000004_delivery_fence"),
    step!("2026-11-28-000001_schema_floor"),
    step!("2026-11-28-000002_destination_standing"),
    // WITHOUT ROWID: SQLite then stores the table once, in the order of its key.
    step!("2026-11-28-000003_idempotency_binding", differs),
];

#[derive(Clone, Copy)]
pub(super) struct Step {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Step {
    /// What the table of applied steps has: the digits before the underscore, as `diesel_migrations` computes them.
    pub(super) fn version(&self) -> String {
        self.name.split('_').next().unwrap_or_default().replace('-', "")
    }
}

/// The steps as one engine runs them.
pub(super) struct Embedded(pub(super) Engine);

struct Script {
    step: Step,
    sql: &'static str,
}

impl<DB: Backend> MigrationSource<DB> for Embedded {
    fn migrations(&self) -> Result<Vec<Box<dyn Migration<DB>>>> {
        let script = |step: &Step| {
            let sql = match self.0 {
                Engine::Sqlite => step.sqlite,
                Engine::Postgres => step.postgres,
            };
            Box::new(Script { step: *step, sql }) as Box<dyn Migration<DB>>
        };
        Ok(STEPS.iter().map(script).collect())
    }
}

impl<DB: Backend> Migration<DB> for Script {
    fn run(&self, conn: &mut dyn BoxableConnection<DB>) -> Result<()> {
        Ok(conn.batch_execute(self.sql)?)
    }

    fn revert(&self, _: &mut dyn BoxableConnection<DB>) -> Result<()> {
        Err(format!("{self} cannot be reverted").into())
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

impl MigrationName for Script {
    fn version(&self) -> MigrationVersion<'_> {
        self.step.version().into()
    }
}

/// The default: each step is one transaction.
impl MigrationMetadata for Script {}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step.name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_folder_of_migrations_is_a_step_and_has_exactly_its_files() {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let names_in = |directory: &Path| {
            let entries = std::fs::read_dir(directory).expect("a directory");
            let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
            let mut names: Vec<_> = names.collect();
            names.sort_unstable();
            names
        };
        let steps: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names_in(&migrations), steps, "list each folder of persistence/migrations in STEPS, in order");
        for step in STEPS {
            let files = names_in(&migrations.join(step.name));
            let expected: &[&str] =
                if step.sqlite == step.postgres { &["up.sql"] } else { &["up.postgres.sql", "up.sqlite.sql"] };
            assert_eq!(files, expected, "{}", step.name);
        }
    }
}
