//! Tests of the operator's side: settings, the command line, imports, and the limits of production mode.

#![allow(clippy::disallowed_methods, reason = "tests read the environment, the clock, and use threads of their own")]

#[path = "../kit/mod.rs"]
mod kit;

mod config;
mod config_values;
mod database;
mod demo;
mod import;
mod limits;
mod lists;
mod operations;
mod outputs;
mod permissions;
mod production;
mod reference;
