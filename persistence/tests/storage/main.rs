//! The storage suite: the contract of the ports on both engines, the choke point under stress, and the migrations.

#![allow(clippy::disallowed_methods, reason = "tests start tasks and threads, and read where Postgres is")]

mod catalog;
mod choke_point;
mod contract;
mod database_url;
mod golden;
#[path = "../kit/mod.rs"]
mod kit;
mod migrations;
mod plans;
mod state;
