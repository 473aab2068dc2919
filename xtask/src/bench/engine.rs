//! The database under a shop: SQLite, or a database of the Postgres server of the benchmark.

use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::load::{Flow, sample, scripts};
use crate::process;

/// The size in bytes of the document of a checkout with one line, an address and two options.
const DOCUMENT: usize = 1_500;
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
        python.args(["-c", RUN]).arg(self.directory.path().join(FILE)).stdin(std::fs::File::open(input)?);
        process::output(&mut python)
    }

    /// Runs the bare statements of a flow repeatedly, and returns how often they ran per second. `checkout` is the id
    /// of an existing checkout, which the flow `Read` reads.
    pub fn measure(&self, checkout: &str, flow: Flow, connections: usize, seconds: u64) -> Result<f64> {
        let script = scripts().join(format!("{}.sql", flow.name()));
        let (document, id) = (format!("doc={}", "x".repeat(DOCUMENT)), format!("id={checkout}"));
        let Some((cluster, database)) = self.server else {
            let mut command = Command::new("python3");
            command.arg(scripts().join("sqlite_engine.py")).arg(script);
            command.arg(self.directory.path().join(FILE));
            command.args([connections.to_string(), seconds.to_string(), document, id]);
            return Ok(sample(&process::output(&mut command)?)?.per_second);
        };
        let mut command = cluster.pgbench();
        command.args(["-n", "-M", "prepared", "-D", &document, "-D", &id, "-T", &seconds.to_string()]);
        command.args(["-c", &connections.to_string(), "-j", &connections.min(2).to_string()]);
        let output = process::output(command.arg("-f").arg(script).arg(cluster.url(database)))?;
        let rate = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.context("pgbench printed no rate")
    }
}

/// A new directory, not in /tmp, because /tmp may be in memory, and there a commit costs nothing.
fn directory() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(process::cache()?)?)
}
