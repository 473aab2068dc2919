//! Fault injection: the tests kill processes, hold locks, disconnect clients, and let hundreds of buyers compete for
//! the last ten units. Afterwards every promise of the shop is checked against its database and the ledger of its
//! payments.
//!
//! `XTASK_FAULTS=quick` (the default) repeats a test a few times, `full` many times. The tests block, because they drive their own threads, sockets and processes, as external clients do.

#![allow(clippy::disallowed_methods, reason = "these tests own threads, clocks and processes, and read their extent")]
#![allow(clippy::print_stdout, reason = "seeds and numbers of a run, for repeating it")]

#[path = "faults/clocks.rs"]
mod clocks;
#[path = "faults/database.rs"]
mod database;
#[path = "faults/database_down.rs"]
mod database_down;
#[path = "faults/deadlines.rs"]
mod deadlines;
#[path = "faults/demo.rs"]
mod demo;
#[path = "faults/departures.rs"]
mod departures;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/edge.rs"]
mod edge;
#[path = "faults/extent.rs"]
mod extent;
#[path = "faults/failover.rs"]
mod failover;
#[path = "faults/gateway.rs"]
mod gateway;
#[path = "faults/instances.rs"]
mod instances;
#[path = "faults/invariants.rs"]
mod invariants;
#[path = "faults/kills.rs"]
mod kills;
#[allow(unused_imports, reason = "the kit serves every test binary")]
#[path = "kit/mod.rs"]
mod kit;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/outcomes.rs"]
mod outcomes;
#[path = "faults/panics.rs"]
mod panics;
#[path = "faults/platform.rs"]
mod platform;
#[path = "faults/postgres.rs"]
mod postgres;
#[path = "faults/power_cut.rs"]
mod power_cut;
#[path = "faults/races.rs"]
mod races;
#[path = "faults/recording.rs"]
mod recording;
#[path = "faults/restore.rs"]
mod restore;
#[path = "faults/rolling_restart.rs"]
mod rolling_restart;
#[path = "faults/shutdown.rs"]
mod shutdown;
#[path = "faults/shutdown_load.rs"]
mod shutdown_load;
#[path = "faults/sinks.rs"]
mod sinks;
#[path = "faults/soak.rs"]
mod soak;
#[path = "faults/sqlite.rs"]
mod sqlite;
#[path = "faults/steps.rs"]
mod steps;
#[path = "faults/steps_provoked.rs"]
mod steps_provoked;
#[path = "faults/steps_shop.rs"]
mod steps_shop;
