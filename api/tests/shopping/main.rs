//! Tests of the shopping API: HTTP requests to the real binary, on both engines.

#![allow(clippy::disallowed_methods, reason = "tests read the environment, the clock, and use threads of their own")]

#[path = "../kit/mod.rs"]
mod kit;

mod bodies;
mod buyers;
mod delivery;
mod discovery;
mod edge;
mod headers;
mod idempotency;
mod limits;
mod logs;
mod methods;
mod models;
mod money;
mod outcome_unknown;
mod ownership;
mod payment;
mod purchase;
mod simulation;
mod stock;
