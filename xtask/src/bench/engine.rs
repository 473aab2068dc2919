//! The bare engine: the same statements, rows and commits, without the shop.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Flow, Sample, sample};
use crate::process;

/// The size of the document of a checkout with one line, an address and two options.
const DOCUMENT: usize = 1_500;
/// The database file of SQLite.
const FILE: &str = "shop.db";

pub struct Engine {
    pub name: &'static str,
    /// The database of the shop. The bare statements run on the same tables.
    pub url: String,
    pub directory: TempDir,
    pgbench: Option<PathBuf>,
}

impl Engine {
    /// SQLite, or the Postgres with this url.
    pub fn new(postgres: Option<(String, PathBuf)>) -> Result<Engine> {
        // Not in /tmp, which may be in memory, where a commit costs nothing.
        let directory = tempfile::tempdir_in(process::cache()?)?;
        Ok(match postgres {
            Some((url, pgbench)) => Engine { name: "Postgres", url, directory, pgbench: Some(pgbench) },
            None => {
                let url = format!("sqlite://{}", directory.path().join(FILE).display());
                Engine { name: "SQLite", url, directory, pgbench: None }
            }
        })
    }

    /// Runs the statements of a flow. `checkout` exists, for reads.
    pub fn measure(&self, checkout: &str, flow: Flow, connections: usize, seconds: u64) -> Result<Sample> {
        let script = process::root().join(format!("xtask/bench/{}.sql", flow.name()));
        let (document, id) = (format!("doc={}", "x".repeat(DOCUMENT)), format!("id={checkout}"));
        let Some(pgbench) = &self.pgbench else {
            let mut command = Command::new("python3");
            command.arg(process::root().join("xtask/bench/sqlite_engine.py")).arg(script);
            command.arg(self.directory.path().join(FILE));
            command.args([connections.to_string(), seconds.to_string(), document, id]);
            return sample(&process::output(&mut command)?);
        };
        let mut command = Command::new(pgbench);
        command.args(["-n", "-M", "prepared", "-D", &document, "-D", &id, "-T", &seconds.to_string()]);
        command.args(["-c", &connections.to_string(), "-j", &connections.min(2).to_string()]);
        pgbench_sample(&process::output(command.arg("-f").arg(script).arg(&self.url))?)
    }
}

fn pgbench_sample(output: &str) -> Result<Sample> {
    let field = |name: &str| -> Option<f64> {
        let line = output.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches([' ', '=', ':']).split_whitespace().next()?.parse().ok()
    };
    Ok(Sample {
        per_second: field("tps").context("pgbench printed no rate")?,
        p50: field("latency average").unwrap_or(0.0),
        ..Sample::default()
    })
}
