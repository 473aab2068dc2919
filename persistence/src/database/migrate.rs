//! The schema: embedded, applied by one instance at a time, refused when it is newer than the program.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::backend::{Conn, Tx, on_backend};
use super::lock_file::must_have_one_name;
use super::{DatabaseConfig, DatabaseUrl, OpenError};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Names the advisory lock that instances take turns with: the ASCII of "tuckshop".
const ADVISORY_LOCK: i64 = 0x7475_636b_7368_6f70;
/// A migration is short, and whoever waits for it waits for all of them.
const LOCK_WAIT: &str = "SET lock_timeout = '60s'";

/// Applies what is missing and says how many there were. On Postgres under an advisory lock; on SQLite the lock file
/// already keeps everyone else out.
pub(super) fn apply(config: &DatabaseConfig) -> Result<usize, OpenError> {
    let mut conn = connect(&config.url)?;
    let failed = |error: diesel::result::Error| OpenError::Migration(error.to_string());
    if let Conn::Postgres(conn) = &mut conn {
        conn.batch_execute(&format!("{LOCK_WAIT}; SELECT pg_advisory_lock({ADVISORY_LOCK})")).map_err(failed)?;
    }
    let pending = pending(&mut conn)?;
    let applied = match &mut conn {
        Conn::Sqlite(conn) => conn.run_pending_migrations(SQLITE).map(|done| done.len()),
        Conn::Postgres(conn) => conn.run_pending_migrations(POSTGRES).map(|done| done.len()),
    };
    debug_assert!(applied.as_ref().map_or(true, |applied| *applied == pending));
    // The lock goes with the connection.
    applied.map_err(|error| OpenError::Migration(error.to_string()))
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

/// Whether the schema is the one that this program knows.
pub(super) fn is_current(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let (mut applied, mut known) = (applied(tx)?, known(tx));
    applied.sort_unstable();
    known.sort_unstable();
    Ok(applied == known)
}

/// How many migrations are missing; refuses a schema with migrations that this program does not know.
fn pending(conn: &mut Conn) -> Result<usize, OpenError> {
    let applied = applied(&mut conn.tx()).map_err(|error| OpenError::Migration(error.to_string()))?;
    let known = known(&conn.tx());
    match applied.iter().find(|applied| !known.contains(applied)) {
        Some(unknown) => Err(OpenError::SchemaNewer(unknown.clone())),
        None => Ok(known.len() - applied.len()),
    }
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
    let exists = sql::<Bool>(match tx {
        Tx::Sqlite(_) => "EXISTS (SELECT 1 FROM sqlite_master WHERE name = '__diesel_schema_migrations')",
        Tx::Postgres(_) => "to_regclass('__diesel_schema_migrations') IS NOT NULL",
    });
    if !on_backend!(tx, |conn| diesel::select(exists).get_result::<bool>(*conn))? {
        return Ok(Vec::new());
    }
    let all = migrations.select(version).limit(MAX_MIGRATIONS);
    on_backend!(tx, |conn| all.load(*conn))
}

fn known(tx: &Tx<'_>) -> Vec<String> {
    match tx {
        Tx::Sqlite(_) => versions::<diesel::sqlite::Sqlite>(&SQLITE),
        Tx::Postgres(_) => versions::<diesel::pg::Pg>(&POSTGRES),
    }
}

fn versions<DB: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Vec<String>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let all: Vec<Box<dyn Migration<DB>>> = source.migrations().unwrap_or_default();
    all.iter().map(|migration| migration.name().version().to_string()).collect()
}
