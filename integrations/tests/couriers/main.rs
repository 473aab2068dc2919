//! Those who carry messages out of the shop, tried on real sockets and judged by implementations that others wrote.

#![allow(clippy::disallowed_methods, reason = "tests start processes and tasks, and read where Python is")]

mod kit;
#[path = "../kit/mod.rs"]
mod network;

mod mail;
mod profiles;
mod signatures;
mod webhooks;
