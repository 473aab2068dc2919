//! The database under a shop: SQLite, or a database of the Postgres server of the benchmark.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::cluster::Cluster;
use crate::process;

/// The name of the database file of SQLite.
const FILE: &str = "shop.db";
/// Runs statements on SQLite, and prints the rows of the last one as `psql` does.
const RUN: &str = "\
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
statements = [s for s in sys.stdin.read().split(';\\n') if s.strip()]
for statement in statements:
    rows = conn.execute(statement).fetchall()
print('\\n'.join('|'.join(map(str, row)) for row in rows))
";

pub struct Engine<'a> {
    pub name: &'static str,
    /// The database of the shop.
    pub url: String,
    pub directory: TempDir,
    server: Option<(&'a Cluster, &'static str)>,
}

impl<'a> Engine<'a> {
    pub fn sqlite() -> Result<Engine<'static>> {
        let directory = directory()?;
        let url = format!("sqlite://{}", directory.path().join(FILE).display());
        Ok(Engine { name: "SQLite", url, directory, server: None })
    }

    /// Creates an empty database of this name.
    pub fn postgres(cluster: &'a Cluster, database: &'static str) -> Result<Engine<'a>> {
        cluster.create(database)?;
        let server = Some((cluster, database));
        Ok(Engine { name: "Postgres", url: cluster.url(database), directory: directory()?, server })
    }

    /// The Postgres server. `None` for SQLite.
    pub fn cluster(&self) -> Option<&'a Cluster> {
        self.server.map(|(cluster, _)| cluster)
    }

    /// Runs statements, each of which ends with a semicolon at the end of a line. Returns the rows of the last one as
    /// text.
    pub fn query(&self, sql: &str) -> Result<String> {
        if let Some((cluster, database)) = self.server {
            return cluster.query(database, sql);
        }
        let input = self.directory.path().join("statements.sql");
        std::fs::write(&input, sql)?;
        let mut python = Command::new("python3");
        python.args(["-c", RUN]).arg(self.file()).stdin(std::fs::File::open(input)?);
        process::output(&mut python)
    }

    /// The database file of SQLite.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }
}

/// A new directory, not in /tmp, because /tmp may be in memory, and there a commit costs nothing.
fn directory() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(process::cache()?)?)
}
