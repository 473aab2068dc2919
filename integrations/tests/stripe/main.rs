//! The gateway adapter against a simulator, whose ledger is the evidence.

mod currencies;
mod events;
mod faults;
mod fixture;
mod requests;
mod signatures;
mod states;

#[path = "../kit/mod.rs"]
mod shared;
