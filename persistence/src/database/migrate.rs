//! The schema: embedded, and applied by one instance at a time.
//!
//! Programs of two releases work on one schema while the newer is rolled out, so a program works on every schema that has
//! all the steps it knows and from which nothing was taken that it needs. See docs/UPGRADES.md.

use std::path::Path;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel::sqlite::Sqlite;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use super::backend::{Conn, Tx, on_backend};
use super::lock_file::must_have_one_name;
use super::steps::{Embedded, STEPS, Step};
use super::{DatabaseConfig, DatabaseUrl, Engine, OpenError};
use crate::database::load;
use crate::schema::schema_floor;

/// Names the advisory lock that instances take turns with: the ASCII of "tuckshop".
const ADVISORY_LOCK: i64 = 0x7475_636b_7368_6f70;
/// An instance waits this long for the one that migrates.
const TURN_WAIT: &str = "SET lock_timeout = '60s'";
/// A step waits this long for a table: while it waits, so do all transactions that come after it, and those that wait
/// for a row of one that waits. Far shorter than the default of `TUCKSHOP_DATABASE_LOCK_TIMEOUT_MS`, after which a
/// request fails; and shorter than the default of `deadlock_timeout`, so that the step gives way, and not a purchase.
const TABLE_WAIT: &str = "SET lock_timeout = '200ms'";
/// Then it steps aside for long enough that those that waited are done, and tries again this many times.
const TRIES: u32 = 60;
const STEP_ASIDE: &str = "SELECT pg_sleep(1)";
const TABLE_IN_USE: &str = "canceling statement due to lock timeout";

/// Applies what is missing and says how many there were.
pub(super) fn apply(config: &DatabaseConfig) -> Result<usize, OpenError> {
    apply_from(config, Embedded(Engine::Sqlite), Embedded(Engine::Postgres))
}

/// Applies the steps of a directory in which each step is a folder with an `up.sql`.
pub(super) fn apply_directory(config: &DatabaseConfig, directory: &Path) -> Result<usize, OpenError> {
    let source = || {
        let source = FileBasedMigrations::from_path(directory);
        source.map_err(|error| OpenError::Migration(error.to_string()))
    };
    apply_from(config, source()?, source()?)
}

/// On Postgres under an advisory lock; on SQLite the lock on the file already keeps everyone else out.
fn apply_from(
    config: &DatabaseConfig,
    sqlite: impl MigrationSource<Sqlite>,
    postgres: impl MigrationSource<Pg>,
) -> Result<usize, OpenError> {
    let mut conn = connect(&config.url)?;
    let failed = |error: diesel::result::Error| OpenError::Migration(error.to_string());
    if let Conn::Postgres(conn) = &mut conn {
        let turn = format!("{TURN_WAIT}; SELECT pg_advisory_lock({ADVISORY_LOCK}); {TABLE_WAIT}");
        conn.batch_execute(&turn).map_err(failed)?;
    }
    pending(&mut conn)?;
    // The lock goes with the connection.
    match &mut conn {
        Conn::Sqlite(conn) => run(sqlite, conn, 1, |_| Ok(())),
        Conn::Postgres(conn) => run(postgres, conn, TRIES, |conn| conn.batch_execute(STEP_ASIDE)),
    }
    .map_err(|error| OpenError::Migration(error.to_string()))
}

/// Each step is a transaction: one that met a table in use changed nothing.
fn run<DB: Backend, C: MigrationHarness<DB>>(
    source: impl MigrationSource<DB>,
    conn: &mut C,
    tries: u32,
    step_aside: impl Fn(&mut C) -> QueryResult<()>,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let mut applied = 0;
    for step in conn.pending_migrations(source)? {
        for left in (0..tries).rev() {
            match conn.run_migration(&step) {
                Err(error) if left > 0 && error.to_string().contains(TABLE_IN_USE) => step_aside(conn)?,
                ended => {
                    drop(ended?);
                    break;
                }
            }
        }
        applied += 1;
    }
    Ok(applied)
}

pub(super) fn must_be_current(config: &DatabaseConfig) -> Result<(), OpenError> {
    if let DatabaseUrl::Sqlite(path) = &config.url {
        // The lock makes an empty file where there is none.
        if std::fs::metadata(path).map_or(true, |found| found.is_file() && found.len() == 0) {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            return Err(OpenError::Missing(path.display().to_string()));
        }
        must_have_one_name(path)?;
    }
    let mut conn = connect(&config.url)?;
    match pending(&mut conn)? {
        0 => Ok(()),
        missing => Err(OpenError::SchemaOlder(missing)),
    }
}

fn connect(url: &DatabaseUrl) -> Result<Conn, OpenError> {
    // The client library of Postgres writes several lines.
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Conn::open(url).map_err(|error| OpenError::Unreachable(format!("{url}: {}", one_line(error.to_string()))))
}

/// Whether this program can work on the schema.
pub(super) fn is_usable(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let (applied, known) = (applied(tx)?, known());
    Ok(known.iter().all(|step| applied.contains(step)) && too_new(tx, &known)?.is_none())
}

/// How many migrations are missing; refuses a schema from which something was taken that this program needs.
fn pending(conn: &mut Conn) -> Result<usize, OpenError> {
    let failed = |error: diesel::result::Error| OpenError::Migration(error.to_string());
    let tx = &mut conn.tx();
    let (applied, known) = (applied(tx).map_err(failed)?, known());
    match too_new(tx, &known).map_err(failed)? {
        Some(floor) => Err(OpenError::SchemaNewer(floor)),
        None => Ok(known.iter().filter(|step| !applied.contains(step)).count()),
    }
}

/// The step that a program must know to work on this schema, if this one does not know it.
fn too_new(tx: &mut Tx<'_>, known: &[String]) -> QueryResult<Option<String>> {
    if !exists(tx, "schema_floor")? {
        return Ok(None);
    }
    let floors = schema_floor::table.select(schema_floor::version).limit(MAX_MIGRATIONS);
    let floors: Vec<String> = load!(tx, floors)?;
    Ok(floors.into_iter().filter(|floor| known.iter().all(|step| step < floor)).max())
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// More than there will ever be.
const MAX_MIGRATIONS: i64 = 10_000;

/// The library would create the table of migrations only to read it: a check that writes, and that fails when two
/// instances make it at once.
fn applied(tx: &mut Tx<'_>) -> QueryResult<Vec<String>> {
    use __diesel_schema_migrations::dsl::{__diesel_schema_migrations as migrations, version};
    if !exists(tx, "__diesel_schema_migrations")? {
        return Ok(Vec::new());
    }
    let all = migrations.select(version).limit(MAX_MIGRATIONS);
    load!(tx, all)
}

#[expect(clippy::disallowed_methods, reason = "it runs seldom, and takes a value in its middle")]
fn exists(tx: &mut Tx<'_>, table: &'static str) -> QueryResult<bool> {
    let exists = sql::<Bool>(match tx {
        Tx::Sqlite(_) => "EXISTS (SELECT 1 FROM sqlite_master WHERE name = ",
        Tx::Postgres(_) => "(to_regclass(",
    });
    let exists = exists.bind::<Text, _>(table).sql(match tx {
        Tx::Sqlite(_) => ")",
        Tx::Postgres(_) => ") IS NOT NULL)",
    });
    on_backend!(tx, |conn| diesel::select(exists).get_result(*conn))
}

fn known() -> Vec<String> {
    STEPS.iter().map(Step::version).collect()
}
