//! The schema: embedded, applied by one instance at a time, refused when it is newer than the program.

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::backend::{Conn, Tx};
use super::{DatabaseConfig, OpenError};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Names the advisory lock that instances take turns with: the ASCII of "tuckshop".
const ADVISORY_LOCK: i64 = 0x7475_636b_7368_6f70;
/// A migration is short, and whoever waits for it waits for all of them.
const LOCK_WAIT: &str = "SET lock_timeout = '60s'";

/// Applies what is missing and says how many there were. On Postgres under an advisory lock; on SQLite the lock file
/// already keeps everyone else out.
pub(super) fn apply(config: &DatabaseConfig) -> Result<usize, OpenError> {
    let mut conn = Conn::open(&config.url).map_err(|error| OpenError::Unreachable(error.to_string()))?;
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
    let mut conn = Conn::open(&config.url).map_err(|error| OpenError::Unreachable(error.to_string()))?;
    match pending(&mut conn)? {
        0 => Ok(()),
        missing => Err(OpenError::SchemaOlder(missing)),
    }
}

/// How many migrations are missing; refuses a schema with migrations that this program does not know.
fn pending(conn: &mut Conn) -> Result<usize, OpenError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenError::Migration(error.to_string());
    let (applied, known) = match conn {
        Conn::Sqlite(conn) => (conn.applied_migrations().map_err(failed)?, versions::<diesel::sqlite::Sqlite>(&SQLITE)),
        Conn::Postgres(conn) => (conn.applied_migrations().map_err(failed)?, versions::<diesel::pg::Pg>(&POSTGRES)),
    };
    match applied.iter().find(|applied| !known.contains(applied)) {
        Some(unknown) => Err(OpenError::SchemaNewer(unknown.to_string())),
        None => Ok(known.len() - applied.len()),
    }
}

fn versions<DB: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Vec<MigrationVersion<'static>>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let all: Vec<Box<dyn Migration<DB>>> = source.migrations().unwrap_or_default();
    all.iter().map(|migration| migration.name().version().as_owned()).collect()
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// Whether the newest applied migration is the newest that this program knows.
pub(super) fn is_current(tx: &mut Tx<'_>) -> QueryResult<bool> {
    use __diesel_schema_migrations::dsl::{__diesel_schema_migrations as applied, version};
    let newest = applied.order(version.desc()).select(version).limit(1);
    let (newest, known): (Option<String>, _) = match tx {
        Tx::Sqlite(conn) => (newest.first(*conn).optional()?, versions::<diesel::sqlite::Sqlite>(&SQLITE)),
        Tx::Postgres(conn) => (newest.first(*conn).optional()?, versions::<diesel::pg::Pg>(&POSTGRES)),
    };
    Ok(newest.is_some_and(|newest| known.iter().max().is_some_and(|known| known.to_string() == newest)))
}
