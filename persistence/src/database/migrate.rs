//! Applies the steps (migrations) of the schema, which are embedded in the program. One instance applies them at a
//! time.
//!
//! Programs of two releases run on one schema during a rollout. A program runs on every schema that has all the steps
//! it knows, unless something that it needs was removed. See docs/UPGRADES.md.

use std::path::Path;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, FileBasedMigrations, MigrationHarness, embed_migrations};

use super::backend::Conn;
use super::constant::Statement;
use super::lock_file::{must_have_one_name, must_not_destroy_a_log};
use super::tx::{Tx, TxConn, on_backend};
use super::{DatabaseConfig, DatabaseUrl, Engine, OpenError};
use crate::database::load;
use crate::stored::malformed;

/// The steps in `persistence/migrations`, which both engines run. A released step is never changed.
const STEPS: EmbeddedMigrations = embed_migrations!();

/// The number of the advisory lock that an instance holds while it migrates: the ASCII of "tuckshop".
const ADVISORY_LOCK: i64 = 0x7475_636b_7368_6f70;
/// The longest wait of an instance for another instance that migrates.
const LOCK_WAIT: &str = "SET lock_timeout = '60s'";
/// The longest wait of a step for the lock of a table. Every later transaction on the table queues behind the step. So
/// the wait is far shorter than the default of `TUCKSHOP_DATABASE_LOCK_TIMEOUT_MS`, after which a request fails. It is
/// also shorter than the default of `deadlock_timeout`, so that in a deadlock the step fails and not a purchase.
const TABLE_WAIT: &str = "SET lock_timeout = '200ms'";
/// The most attempts to run a step. The migration pauses between two attempts, so that waiting transactions can finish.
const ATTEMPTS: u32 = 60;
const PAUSE: &str = "SELECT pg_sleep(1)";
const TABLE_IN_USE: &str = "canceling statement due to lock timeout";

/// Applies the missing steps and returns their number.
pub(super) fn apply(config: &DatabaseConfig) -> Result<usize, OpenError> {
    apply_steps(config, STEPS)
}

/// Applies the steps of a directory in which each step is a folder with an `up.sql`.
pub(super) fn apply_directory(config: &DatabaseConfig, directory: &Path) -> Result<usize, OpenError> {
    apply_steps(config, FileBasedMigrations::from_path(directory).map_err(failed)?)
}

/// Applies the missing steps and returns their number. Excludes other instances: on Postgres by an advisory lock, on
/// SQLite by the lock on the file.
fn apply_steps<S>(config: &DatabaseConfig, steps: S) -> Result<usize, OpenError>
where
    S: MigrationSource<Sqlite> + MigrationSource<Pg>,
{
    let mut conn = connect(&config.url)?;
    if let TxConn::Postgres(conn) = conn.tx().conn().map_err(failed)? {
        let lock = format!("{LOCK_WAIT}; SELECT pg_advisory_lock({ADVISORY_LOCK}); {TABLE_WAIT}");
        conn.batch_execute(&lock).map_err(failed)?;
    }
    pending(&mut conn)?;
    // Postgres releases the advisory lock when the connection is closed.
    match conn.tx().conn().map_err(failed)? {
        TxConn::Sqlite(conn) => run(steps, *conn),
        TxConn::Postgres(conn) => run(steps, *conn),
    }
    .map_err(failed)
}

/// Runs the missing steps and returns their number. Each step is one transaction, so a step that found a table in use
/// has changed nothing and is run again.
fn run<DB: Backend>(
    steps: impl MigrationSource<DB>,
    conn: &mut (impl MigrationHarness<DB> + SimpleConnection),
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let mut applied = 0;
    for step in conn.pending_migrations(steps)? {
        for left in (0..ATTEMPTS).rev() {
            match conn.run_migration(&step) {
                Err(error) if left > 0 && error.to_string().contains(TABLE_IN_USE) => conn.batch_execute(PAUSE)?,
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
        // Locking has created an empty file if there was no file.
        if std::fs::metadata(path).map_or(true, |found| found.is_file() && found.len() == 0) {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            must_not_destroy_a_log(&path)?;
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

fn failed(error: impl std::fmt::Display) -> OpenError {
    OpenError::Migration(error.to_string())
}

fn connect(url: &DatabaseUrl) -> Result<Conn, OpenError> {
    // An error of the Postgres client library has several lines.
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Conn::open(url).map_err(|error| OpenError::Unreachable(format!("{url}: {}", one_line(error.to_string()))))
}

/// Whether this program can run on the schema.
pub(super) fn is_usable(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let (applied, known) = (applied(tx)?, known()?);
    Ok(known.iter().all(|step| applied.contains(step)) && too_new(tx, &known)?.is_none())
}

/// Returns the number of missing steps. Fails if something that this program needs was removed.
fn pending(conn: &mut Conn) -> Result<usize, OpenError> {
    let tx = &mut conn.tx();
    let (applied, known) = (applied(tx).map_err(failed)?, known().map_err(failed)?);
    match too_new(tx, &known).map_err(failed)? {
        Some(floor) => Err(OpenError::SchemaNewer(floor)),
        None => Ok(known.iter().filter(|step| !applied.contains(step)).count()),
    }
}

/// Returns the step that a program must know to run on this schema, if this program does not know that step.
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
diesel::table! {
    schema_floor (version) {
        version -> Text,
    }
}

/// The most steps that a query reads. There will never be more.
const MAX_MIGRATIONS: i64 = 10_000;

/// The versions of the applied steps. Diesel's query for them is not used, because it first creates the table: the
/// check would write, and would fail if two instances check at the same time.
fn applied(tx: &mut Tx<'_>) -> QueryResult<Vec<String>> {
    use __diesel_schema_migrations::dsl::{__diesel_schema_migrations as migrations, version};
    if !exists(tx, "__diesel_schema_migrations")? {
        return Ok(Vec::new());
    }
    let all = migrations.select(version).limit(MAX_MIGRATIONS);
    load!(tx, all)
}

fn exists(tx: &mut Tx<'_>, table: &str) -> QueryResult<bool> {
    let exists = Statement::<Bool>::new(match tx.engine() {
        Engine::Sqlite => "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = $1)",
        Engine::Postgres => "SELECT to_regclass($1) IS NOT NULL",
    });
    let exists = exists.text(table);
    on_backend!(tx, |conn| exists.get_result(*conn))
}

/// The versions of the steps that this program knows.
fn known() -> QueryResult<Vec<String>> {
    let steps = MigrationSource::<Sqlite>::migrations(&STEPS).map_err(|error| malformed(error.to_string()))?;
    Ok(steps.iter().map(|step| step.name().version().to_string()).collect())
}
