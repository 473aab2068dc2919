//! Those who carry messages out of the shop, tried on real sockets and judged by implementations that others wrote.

#![allow(clippy::disallowed_methods, reason = "tests start processes and tasks, and read where Python is")]

mod kit;
#[allow(dead_code, reason = "the tests of the way out use more of it")]
#[path = "../outbound/kit.rs"]
mod network;
#[path = "../kit/mod.rs"]
mod shared;

mod mail;
mod profiles;
mod signatures;
mod webhooks;
