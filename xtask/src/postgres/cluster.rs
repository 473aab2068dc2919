//! One throw-away database cluster: made, started, stopped and removed.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::Durability;
use super::binaries::Binaries;
use crate::machine::Account;
use crate::process;

const START_DEADLINE_SECONDS: &str = "60";

/// Waits until its stdin ends, which is when xtask drops the cluster or dies of whatever cause, and cleans up.
const KEEPER: &str = r#"read _; "$0" stop --silent --mode=immediate --pgdata="$1/data"; rm -rf "$1""#;

/// What Postgres logs then, in the messages of the locale `C`.
const PORT_IS_TAKEN: &str = "could not bind IPv4 address \"127.0.0.1\": Address already in use";

/// How many ports are tried.
const PORTS_TRIED: usize = 5;

pub struct Cluster {
    port: u16,
    keeper: Child,
    directory: TempDir,
}

impl Cluster {
    pub fn start(binaries: &Binaries, durability: Durability) -> Result<Cluster> {
        let directory = tempfile::Builder::new().prefix("tuckshop-postgres-").tempdir()?;
        let account = Account::for_servers()?;
        account.give(directory.path())?;
        let bin = within_reach(binaries, &account, directory.path())?;
        let (pg_ctl, data) = (bin.join("pg_ctl"), directory.path().join("data"));

        let mut initdb = account.command(bin.join("initdb"), directory.path());
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        process::output(initdb.arg(&data))?;
        // Before the server, so that there is no moment in which nobody would stop it.
        let keeper = keep(account.command("sh", directory.path()), &pg_ctl, directory.path())?;
        let mut cluster = Cluster { port: free_port()?, keeper, directory };
        let log = cluster.directory().join("log");
        for left in (0..PORTS_TRIED).rev() {
            let settings = settings(cluster.port, cluster.directory(), durability);
            std::fs::write(data.join("postgresql.auto.conf"), settings)?;
            let mut start = account.command(&pg_ctl, cluster.directory());
            start.args(["start", "--wait", "--timeout", START_DEADLINE_SECONDS, "--log"]).arg(&log);
            let Err(failure) = process::output(start.arg("--pgdata").arg(&data)) else { return Ok(cluster) };
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if left == 0 || !text.contains(PORT_IS_TAKEN) {
                return Err(failure.context(format!("Postgres did not start; its log:\n{text}")));
            }
            std::fs::remove_file(&log)?;
            cluster.port = free_port()?;
        }
        unreachable!("the last failure is returned")
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a keeper that failed; the directory goes in any case.
        let _ = self.keeper.wait();
    }
}

/// In a process group of its own: Ctrl-C is meant for the tests, and the keeper cleans up after them.
fn keep(mut shell: Command, pg_ctl: &Path, directory: &Path) -> Result<Child> {
    shell.args(["-c", KEEPER]).arg(pg_ctl).arg(directory).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().context("cannot start a shell to look after Postgres")
}

/// A checkout in a private home is closed to the account that root lends to the server.
pub fn within_reach(binaries: &Binaries, account: &Account, directory: &Path) -> Result<PathBuf> {
    let runs = |bin: &Path| process::output(account.command(bin.join("postgres"), directory).arg("--version")).is_ok();
    if runs(&binaries.bin) {
        return Ok(binaries.bin.clone());
    }
    if let Some(tree) = &binaries.movable {
        let copy = directory.join("programs");
        process::output(Command::new("cp").arg("-R").arg(tree).arg(&copy))?;
        let bin = copy.join(binaries.bin.strip_prefix(tree)?);
        if runs(&bin) {
            return Ok(bin);
        }
    }
    bail!("the Postgres in {} cannot be run by the account that is to run it", binaries.bin.display())
}

/// Free now. Postgres makes its own socket, so that the port cannot be kept for it. Another process may take it first.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

fn settings(port: u16, directory: &Path, durability: Durability) -> String {
    let safe = match durability {
        Durability::Fast => "off",
        Durability::Real => "on",
    };
    format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{}'\n\
         max_connections = 200\n\
         shared_buffers = '128MB'\n\
         lc_messages = 'C'\n\
         fsync = {safe}\n\
         synchronous_commit = {safe}\n\
         full_page_writes = {safe}\n",
        directory.display()
    )
}
