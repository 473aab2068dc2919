//! The limit of open files. Each connection is an open file, so a process at its limit accepts no connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, info, warn};

use crate::config::Config;

/// The open files that are reserved for anything but connections of clients and of the database: logs, outbound calls,
/// and what libraries open.
const SPARE: u64 = 256;

/// Raises the soft limit to the hard limit. Warns when the configured connections can exceed it.
pub fn raise_open_files(config: &Config, log: &Logger) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(log, "the limit of open files could not be raised"; "op" => "limits.open_files", "error" => %error);
    }
    let limit = getrlimit(Resource::Nofile).current;
    let needed = needed(config.workers(), config.http.max_connections, config.database.pool_size);
    info!(log, "open files"; "op" => "limits.open_files", "limit" => limit, "needed" => needed);
    if limit.is_some_and(|limit| limit < needed) {
        warn!(log, "connections can exceed the limit of open files: raise it, or lower TUCKSHOP_HTTP_MAX_CONNECTIONS";
            "op" => "limits.open_files", "limit" => limit, "needed" => needed);
    }
}

/// The most open files that the process may need. A connection of the pool counts three times: a pool may open new
/// connections before the old ones are closed, and SQLite opens a log file and an index file for each.
fn needed(workers: usize, connections: usize, pool: u32) -> u64 {
    let http = u64::try_from(workers.saturating_mul(connections)).unwrap_or(u64::MAX);
    http.saturating_add(u64::from(pool) * 3).saturating_add(SPARE)
}
