//! The gateway over HTTP, against a simulator of it whose ledger is the judge.

mod events;
mod faults;
mod place;
mod requests;
mod states;

#[path = "../kit/mod.rs"]
mod shared;
