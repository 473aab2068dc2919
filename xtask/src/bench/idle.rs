//! The memory of a shop with many idle connections.

use std::net::TcpStream;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::shop::Shop;
use super::usage;

pub const CONNECTIONS: usize = 1_000;
/// The files that this process needs besides the connections.
const OTHER_FILES: u64 = 200;

/// Opens connections that each read one checkout and then stay open. Returns the memory of the shop in KiB.
pub fn memory_kib(shop: &Shop<'_>) -> Result<u64> {
    raise_file_limit()?;
    let path = format!("/checkout-sessions/{}", shop.checkout);
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| shop.platform.connect(&path)).collect::<Result<_>>()?;
    let memory = usage::memory_kib(shop.id(), "VmRSS");
    drop(connections);
    memory
}

fn raise_file_limit() -> Result<()> {
    let (mut limit, least) = (getrlimit(Resource::Nofile), CONNECTIONS as u64 + OTHER_FILES);
    if limit.current.is_some_and(|current| current < least) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    }
    Ok(())
}
