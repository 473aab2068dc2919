//! Starts Postgres servers for a test: a primary, a standby, or a server that is recovered from a backup.
//! `xtask` compiles this file too, by its path, and uses it to start the server that all tests share.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::Account;
use crate::port::Port;

/// The longest wait for a server to start, to be promoted, or to reach an expected state. It allows for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell script that removes a server. The script waits until its standard input ends, which happens if the test
/// drops the server or if the process of the test dies. Then the script stops the server and deletes the directory of
/// the server.
const KEEPER: &str = r#"read _; "$0" stop --silent --mode=immediate --pgdata="$1/data"; rm -rf "$1""#;

/// A running Postgres server. Dropping this value stops the server at once, like a crash of its machine, and deletes
/// its data.
pub struct PostgresServer {
    port: Port,
    bin: PathBuf,
    keeper: Child,
    directory: TempDir,
}

impl PostgresServer {
    /// Starts a new, empty server with the Postgres programs in the directory `bin`. Its only user is `postgres`,
    /// without a password.
    pub fn create(bin: &Path) -> Self {
        must(Self::create_with(bin, ""))
    }

    /// Starts a server as [`Self::create`] does. The server also copies each segment of its write-ahead log to the
    /// directory `archive`.
    pub fn create_archiving(bin: &Path, archive: &Path) -> Self {
        Account::for_servers().and_then(|account| account.give(archive)).expect("an archive");
        let copy = format!("test ! -f {0}/%f && cp %p {0}/%f", archive.display());
        must(Self::create_with(bin, &format!("archive_mode = on\narchive_command = '{copy}'\n")))
    }

    /// Starts a server from the base backup in `base`, and replays the write-ahead log in `archive`. Returns when the
    /// server accepts writes.
    pub fn recover(bin: &Path, base: &Path, archive: &Path) -> Self {
        let (account, directory) = must(new_directory());
        let data = directory.path().join("data");
        must(output(account.command("cp", Path::new("/")).arg("-R").arg(base).arg(&data)));
        must(output(account.command("touch", Path::new("/")).arg(data.join("recovery.signal"))));
        let restore = format!("restore_command = 'cp {}/%f %p'\narchive_mode = off\n", archive.display());
        let server = must(Self::start(bin, &account, directory, &restore));
        server.wait_for("SELECT pg_is_in_recovery()", "f");
        server
    }

    /// Makes a base backup of the whole server in the new directory `to`. The account of the server needs write access
    /// to the parent directory of `to`.
    pub fn back_up(&self, to: &Path) {
        self.run("pg_basebackup", &["--checkpoint=fast", "--no-sync", "--dbname", &self.url(), "--pgdata", &shown(to)]);
    }

    /// Archives the current segment of the write-ahead log. Returns when the archive contains everything that was
    /// committed before this call.
    pub fn archive_log(&self) {
        let segment = self.execute("SELECT pg_walfile_name(pg_switch_wal())");
        self.wait_for(&format!("SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"), "t");
    }

    /// Starts a server as [`Self::create`] does, with the additional settings in `more`. If a setting has two values,
    /// that in `more` wins. Returns an error if the server does not start.
    pub fn create_with(bin: &Path, more: &str) -> Result<Self> {
        let (account, directory) = new_directory()?;
        let data = directory.path().join("data");
        let mut initdb = account.command(bin.join("initdb"), directory.path());
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        output(initdb.arg(&data))?;
        Self::start(bin, &account, directory, more)
    }

    /// Starts a standby: a copy of this server that receives all later changes and accepts only reads.
    pub fn standby(&self) -> Self {
        let (account, directory) = must(new_directory());
        let mut copy = account.command(self.bin.join("pg_basebackup"), directory.path());
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", &self.url(), "--pgdata"]);
        must(output(copy.arg(directory.path().join("data"))));
        must(Self::start(&self.bin, &account, directory, "synchronous_standby_names = ''\n"))
    }

    /// Makes each later commit on this server wait for the standby. Returns when the standby takes part.
    pub fn wait_for_standby(&self) {
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("SELECT pg_reload_conf()");
        self.wait_for("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1");
    }

    /// Makes this standby a primary. Returns when the server accepts writes.
    pub fn promote(&self) {
        let (data, timeout) = (shown(&self.directory.path().join("data")), PATIENCE.as_secs().to_string());
        self.run("pg_ctl", &["promote", "--wait", "--silent", "--timeout", &timeout, "--pgdata", &data]);
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Runs one statement, and returns the rows as text.
    pub fn execute(&self, sql: &str) -> String {
        self.run("psql", &["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d", &self.url()])
    }

    /// Runs a program of Postgres in the directory of the server, and returns what it prints.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let account = Account::for_servers().expect("an account, as there was one before");
        must(output(account.command(self.bin.join(program), self.directory.path()).args(arguments)))
    }

    fn wait_for(&self, select: &str, expected: &str) {
        let began = Instant::now();
        while self.execute(select) != expected {
            assert!(began.elapsed() < PATIENCE, "timed out: {select} is not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn start(bin: &Path, account: &Account, directory: TempDir, more: &str) -> Result<Self> {
        let (port, pg_ctl) = (Port::keep(), bin.join("pg_ctl"));
        let (data, log) = (directory.path().join("data"), directory.path().join("log"));
        let file = data.join("postgresql.auto.conf");
        // A standby and a recovered server have copied the settings of their original. Postgres uses the last value of
        // a setting, so the new settings are written after the copied ones.
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nlc_messages = 'C'\n\
             max_connections = 100\nshared_buffers = '32MB'\nfsync = off\nwal_keep_size = '256MB'\n",
            port.address().port(),
            directory.path().display()
        );
        std::fs::write(&file, [&before, &settings, more].concat())?;
        account.give(&file)?;
        // The keeper starts before the server, so that no server remains if the process of the test dies.
        let keeper = keep(account, &pg_ctl, directory.path())?;
        let server = Self { port, bin: bin.to_owned(), keeper, directory };
        let mut start = account.command(&pg_ctl, server.directory.path());
        start.args(["start", "--wait", "--silent", "--timeout", &PATIENCE.as_secs().to_string(), "--log"]);
        start.arg(&log).arg("--pgdata").arg(&data);
        if start.stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Ok(server);
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Err(Error::other(format!("Postgres does not start:\n{log}")))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Creates a temporary directory. Returns the account for servers, and the directory, which belongs to this account.
fn new_directory() -> Result<(Account, TempDir)> {
    let account = Account::for_servers()?;
    let directory = tempfile::Builder::new().prefix("tuckshop-postgres-").tempdir()?;
    account.give(directory.path())?;
    Ok((account, directory))
}

/// Starts the keeper in a new process group, so that Ctrl-C does not end the keeper before it has removed the server.
fn keep(account: &Account, pg_ctl: &Path, directory: &Path) -> Result<Child> {
    let mut shell = account.command("sh", Path::new("/"));
    shell.args(["-c", KEEPER]).arg(pg_ctl).arg(directory).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| Error::other(format!("{command:?}: {error}")))?;
    if !output.status.success() {
        return Err(Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
