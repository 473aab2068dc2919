//! The bare engine: the same statements, rows and commits, without the shop.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::shop::Shop;
use super::{Flow, Sample, sample};
use crate::postgres::Postgres;
use crate::process;

/// The size of the document of a checkout with one line, an address and two options.
const DOCUMENT: usize = 1_500;

pub struct Engine {
    pub name: &'static str,
    /// The database of the shop. The bare statements run on the same tables.
    pub url: String,
    pub directory: TempDir,
    pgbench: Option<PathBuf>,
}

impl Engine {
    pub fn sqlite() -> Result<Engine> {
        // Not in /tmp, which may be in memory, where a commit costs nothing.
        let directory = tempfile::tempdir_in(process::cache()?)?;
        let url = format!("sqlite://{}", directory.path().join("shop.db").display());
        Ok(Engine { name: "SQLite", url, directory, pgbench: None })
    }

    pub fn postgres(postgres: &Postgres, pgbench: PathBuf) -> Result<Engine> {
        let directory = tempfile::tempdir_in(process::cache()?)?;
        Ok(Engine { name: "Postgres", url: postgres.url.clone(), directory, pgbench: Some(pgbench) })
    }

    pub fn measure(&self, shop: &Shop, flow: Flow, connections: usize, seconds: u64) -> Result<Sample> {
        let script = process::root().join(format!("xtask/bench/{}.sql", flow.name()));
        let (document, id) = (format!("doc={}", "x".repeat(DOCUMENT)), format!("id={}", shop.checkout));
        match &self.pgbench {
            Some(pgbench) => {
                let mut command = Command::new(pgbench);
                command.args(["-n", "-M", "prepared", "-D", &document, "-D", &id, "-T", &seconds.to_string()]);
                command.args(["-c", &connections.to_string(), "-j", &connections.min(2).to_string()]);
                let output = process::output(command.arg("-f").arg(&script).arg(&self.url))?;
                pgbench_sample(&output)
            }
            // The shop locks its file, so the bare engine uses a copy.
            None => {
                let copy = shop.copy_of_database()?;
                let mut command = Command::new("python3");
                command.arg(process::root().join("xtask/bench/sqlite_engine.py")).arg(&script).arg(&copy);
                command.args([connections.to_string(), seconds.to_string(), document, id]);
                sample(&process::output(&mut command)?)
            }
        }
    }
}

fn pgbench_sample(output: &str) -> Result<Sample> {
    let field = |name: &str| -> Option<f64> {
        let line = output.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches([' ', '=', ':']).split_whitespace().next()?.parse().ok()
    };
    Ok(Sample {
        per_second: field("tps").context("pgbench printed no rate")?,
        p50: Duration::from_secs_f64(field("latency average").unwrap_or(0.0) / 1_000.0),
        ..Sample::default()
    })
}
