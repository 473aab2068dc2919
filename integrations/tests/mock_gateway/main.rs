//! The mock gateway keeps the guarantees of a payment gateway. Its ledger is the evidence.

mod calls;
mod kit;
mod ledger;

#[path = "../kit/mod.rs"]
mod shared;
