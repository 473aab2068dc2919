//! The senders of webhooks and email over real sockets, verified by independent implementations.

#![allow(clippy::disallowed_methods, reason = "tests start processes and tasks, and read the path of Python")]

mod kit;
#[allow(dead_code, reason = "the tests of `Outbound` use more of it")]
#[path = "../outbound/kit.rs"]
mod network;
#[path = "../kit/mod.rs"]
mod shared;

mod keys;
mod mail;
mod mail_settings;
mod profile_documents;
mod profiles;
mod signatures;
mod webhooks;
