//! The mock gateway keeps the guarantees of a payment gateway. The tests check this in its ledger.

mod calls;
mod kit;
mod ledger;

#[path = "../kit/mod.rs"]
mod shared;
