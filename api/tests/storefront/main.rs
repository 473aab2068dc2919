//! Tests of the storefront: HTTP requests to the real binary, on both engines.

#![allow(clippy::disallowed_methods, reason = "tests read the environment, the clock, and use threads of their own")]

#[path = "../kit/mod.rs"]
mod kit;

mod buyer;
mod reviews;
