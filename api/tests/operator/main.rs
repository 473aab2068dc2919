//! The shop as its operator meets it: settings, the command line, imports, and what production mode leaves out.

#![allow(clippy::disallowed_methods, reason = "tests read the environment, the clock, and use threads of their own")]

#[path = "../kit/mod.rs"]
mod kit;

mod config;
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
