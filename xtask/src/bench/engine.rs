//! Measures the bare engine: it runs the same statements, rows and commits as the shop, but without the shop.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Flow, sample};
use crate::process;

/// The size in bytes of the document of a checkout with one line, an address and two options.
const DOCUMENT: usize = 1_500;
/// The name of the database file of SQLite.
const FILE: &str = "shop.db";

pub struct Engine {
    pub name: &'static str,
    /// The database of the shop. The bare statements run on the same tables.
    pub url: String,
    pub directory: TempDir,
    pgbench: Option<PathBuf>,
}

impl Engine {
    /// Returns Postgres, if its url and the path of pgbench are given, and otherwise SQLite.
    pub fn new(postgres: Option<(String, PathBuf)>) -> Result<Engine> {
        // The directory is not in /tmp, because /tmp may be in memory, and there a commit costs nothing.
        let directory = tempfile::tempdir_in(process::cache()?)?;
        Ok(match postgres {
            Some((url, pgbench)) => Engine { name: "Postgres", url, directory, pgbench: Some(pgbench) },
            None => {
                let url = format!("sqlite://{}", directory.path().join(FILE).display());
                Engine { name: "SQLite", url, directory, pgbench: None }
            }
        })
    }

    /// Runs the statements of a script once, in the database of the shop.
    pub fn execute(&self, script: &str) -> Result<()> {
        let script = process::root().join(format!("xtask/bench/{script}"));
        let mut command = match &self.pgbench {
            Some(pgbench) => Command::new(pgbench),
            None => Command::new("python3"),
        };
        match &self.pgbench {
            Some(_) => command.args(["-n", "-t", "1", "-f"]).arg(script).arg(&self.url),
            None => {
                let run = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())";
                command.args(["-c", run]).arg(self.directory.path().join(FILE)).arg(script)
            }
        };
        process::output(&mut command).map(drop)
    }

    /// Runs the statements of a flow repeatedly, and returns how often they ran per second. `checkout` is the id of an
    /// existing checkout, which the flow `Read` reads.
    pub fn measure(&self, checkout: &str, flow: Flow, connections: usize, seconds: u64) -> Result<f64> {
        let script = process::root().join(format!("xtask/bench/{}.sql", flow.name()));
        let (document, id) = (format!("doc={}", "x".repeat(DOCUMENT)), format!("id={checkout}"));
        let Some(pgbench) = &self.pgbench else {
            let mut command = Command::new("python3");
            command.arg(process::root().join("xtask/bench/sqlite_engine.py")).arg(script);
            command.arg(self.directory.path().join(FILE));
            command.args([connections.to_string(), seconds.to_string(), document, id]);
            return Ok(sample(&process::output(&mut command)?)?.per_second);
        };
        let mut command = Command::new(pgbench);
        command.args(["-n", "-M", "prepared", "-D", &document, "-D", &id, "-T", &seconds.to_string()]);
        command.args(["-c", &connections.to_string(), "-j", &connections.min(2).to_string()]);
        let output = process::output(command.arg("-f").arg(script).arg(&self.url))?;
        let rate = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.context("pgbench printed no rate")
    }
}
