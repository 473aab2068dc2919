//! The gateway adapter with a simulated gateway. The tests check the effects in the simulator's ledger.

mod currencies;
mod events;
mod faults;
mod fixture;
mod requests;
mod signatures;
mod states;

#[path = "../kit/mod.rs"]
mod shared;
