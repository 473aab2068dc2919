//! The Postgres server of the benchmark. It is always a temporary one, because another server may trade durability for
//! speed, and because its log and its processes are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::usage;
use crate::cluster::PostgresServer;
use crate::install::program;
use crate::postgres::{self, Programs};
use crate::process;

/// The server writes its log as CSV, which keeps a statement of several lines and its parameters together.
const LOG: &str = "logging_collector = on\nlog_destination = 'csvlog'\nlog_directory = 'log'\n\
                   log_filename = 'bench.log'\nlog_rotation_age = 0\nlog_rotation_size = 0\n";

pub struct Cluster {
    server: PostgresServer,
    /// The programs may be in a temporary directory, so they are dropped after the server.
    programs: Programs,
    pub version: String,
    data: PathBuf,
    postmaster: u32,
}

impl Cluster {
    /// Starts an empty server whose commits are as durable as in production.
    pub fn start(programs: Programs) -> Result<Cluster> {
        if is_in_memory(&std::env::temp_dir())? {
            bail!(
                "the temporary directory is in memory, where a commit costs nothing. Set TMPDIR to a directory on a disk"
            );
        }
        let server = postgres::start(&programs, &format!("{}{LOG}", postgres::DURABLE))?;
        let (version, data) =
            (server.execute("SHOW server_version"), PathBuf::from(server.execute("SHOW data_directory")));
        let pid = server.execute("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)");
        let postmaster = pid.parse().with_context(|| format!("`{pid}` is not the id of the postmaster"))?;
        Ok(Cluster { server, programs, version, data, postmaster })
    }

    /// Creates an empty database, which replaces one of this name.
    pub fn create(&self, database: &str) -> Result<()> {
        self.query("postgres", &format!("DROP DATABASE IF EXISTS {database}"))?;
        self.query("postgres", &format!("CREATE DATABASE {database}")).map(drop)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.server.address())
    }

    /// Runs statements in a database, and returns the rows of the last one as text.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.bin.join("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d", &self.url(database)]);
        process::output(&mut psql)
    }

    /// A command of `pgbench`, the load generator of Postgres.
    pub fn pgbench(&self) -> Command {
        Command::new(program("pgbench").unwrap_or_else(|| self.programs.bin.join("pgbench")))
    }

    /// The file with the log of the server.
    pub fn log(&self) -> PathBuf {
        self.data.join("log/bench.csv")
    }

    /// The CPU time in seconds of all processes of the server so far, including those that have ended.
    pub fn cpu(&self) -> Result<f64> {
        usage::cpu_of_tree(self.postmaster)
    }

    /// The bytes of the write-ahead log so far.
    pub fn wal(&self) -> Result<f64> {
        let bytes = self.query("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'")?;
        bytes.parse().with_context(|| format!("`{bytes}` is not a position in the write-ahead log"))
    }
}

fn is_in_memory(directory: &Path) -> Result<bool> {
    /// The type of the file system `tmpfs`, see statfs(2).
    const TMPFS: i64 = 0x0102_1994;
    Ok(rustix::fs::statfs(directory)?.f_type == TMPFS)
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
