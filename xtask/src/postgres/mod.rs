//! A Postgres for the tests: the one that is given, or a throw-away cluster of our own.

mod binaries;
mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::machine::Account;
use crate::{machine, process, provided};
use cluster::Cluster;

const URL: &str = provided::POSTGRES.variable;

const REMEDY: &str = "no Postgres to test with: install PostgreSQL, set XTASK_POSTGRES_URL to the admin url of a \
                      server, or pass --without-postgres to leave it unchecked";

/// What a throw-away cluster promises its clients.
#[derive(Clone, Copy)]
pub enum Durability {
    /// Forgets everything in a power cut, which a test never sees.
    Fast,
    /// Commits as production does, so that measurements mean something.
    Real,
}

/// Reachable for as long as this value lives.
pub struct Postgres {
    pub url: String,
    pub version: String,
    pub origin: String,
    _cluster: Option<Cluster>,
}

impl Postgres {
    pub fn provide(durability: Durability) -> Result<Postgres> {
        if let Ok(url) = std::env::var(URL) {
            let version = match machine::directory_with(&["psql"]) {
                Some(bin) => ask(&bin, &url, "select version()").with_context(|| format!("{URL} does not answer"))?,
                None => "version unknown, as there is no psql to ask with".to_owned(),
            };
            return Ok(Postgres { url, version, origin: URL.to_owned(), _cluster: None });
        }
        let binaries = binaries::find_or_install().context(REMEDY)?;
        let cluster = Cluster::start(&binaries, durability).context(REMEDY)?;
        let url = cluster.url();
        let version = ask(&binaries.bin, &url, "select version()")?;
        Ok(Postgres { url, version, origin: binaries.origin, _cluster: Some(cluster) })
    }
}

/// The server programs, within reach of the account that runs servers, for tests that start their own.
pub struct Programs {
    pub bin: PathBuf,
    pub origin: String,
    /// Has a copy of them where they would be out of reach.
    _directory: TempDir,
}

impl Programs {
    pub fn provide() -> Result<Programs> {
        let (binaries, account) = (binaries::find_or_install()?, Account::for_servers()?);
        let directory = tempfile::Builder::new().prefix("tuckshop-programs-").tempdir()?;
        account.give(directory.path())?;
        let bin = cluster::within_reach(&binaries, &account, directory.path())?;
        Ok(Programs { bin, origin: binaries.origin, _directory: directory })
    }
}

/// The load generator that comes with Postgres.
pub fn pgbench() -> Result<std::path::PathBuf> {
    let bin = match machine::directory_with(&["pgbench"]) {
        Some(bin) => bin,
        None => binaries::find_or_install()?.bin,
    };
    Ok(bin.join("pgbench"))
}

fn ask(bin: &Path, url: &str, question: &str) -> Result<String> {
    process::output(Command::new(bin.join("psql")).args(["-X", "-A", "-t", "-c", question, "-d", url]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throw_away_cluster_answers_keeps_its_promise_and_leaves_nothing_behind() {
        let Some(binaries) = binaries::present() else {
            return provided::not_checked("throw-away clusters (this machine has no Postgres yet)");
        };
        for (durability, fsync) in [(Durability::Fast, "off"), (Durability::Real, "on")] {
            let cluster = Cluster::start(&binaries, durability).expect("starts");
            let (url, directory) = (cluster.url(), cluster.directory().to_path_buf());
            assert_eq!(ask(&binaries.bin, &url, "show fsync").expect("answers"), fsync);
            drop(cluster);
            assert!(ask(&binaries.bin, &url, "select 1").is_err(), "still answers after it was stopped");
            assert!(!directory.exists(), "{} is still there", directory.display());
        }
    }
}
