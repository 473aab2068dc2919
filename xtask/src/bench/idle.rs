//! The memory of a shop, with many idle connections.

use std::net::TcpStream;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::Bench;
use super::cells;
use super::engine::Engine;
use super::load::Flow;
use super::receiver::Receiver;
use super::shop::Shop;
use super::usage;

pub const CONNECTIONS: usize = 1_000;
/// The files that this process needs besides the connections.
const OTHER_FILES: u64 = 200;

pub struct Memory {
    /// With [`CONNECTIONS`] idle connections.
    pub idle_kib: u64,
    pub peak_kib: u64,
}

impl Bench {
    /// Measures the memory of a new shop after one run of each flow at each number of connections. A shop that has run
    /// for longer has more simulated payments, which the simulated gateway keeps in memory.
    pub fn memory(&self, like: &Engine<'_>) -> Result<Memory> {
        let engine = match like.cluster() {
            Some(_) => Engine::postgres(&self.cluster, "memory")?,
            None => Engine::sqlite()?,
        };
        let shop = Shop::open(&engine, &self.setup(Receiver::AsksToWait))?;
        for flow in Flow::ALL {
            for connections in cells::CONNECTIONS {
                shop.measure(&self.load, flow, connections)?;
            }
        }
        let idle_kib = memory_kib(&shop)?;
        Ok(Memory { idle_kib, peak_kib: usage::memory_kib(shop.id(), "VmHWM")? })
    }
}

/// Opens connections that each read one checkout and then stay open. Returns the memory of the shop in KiB.
fn memory_kib(shop: &Shop<'_>) -> Result<u64> {
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
