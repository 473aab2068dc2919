//! The way out keeps its promises over real sockets: against servers that hang, drip, lie, break and point elsewhere.

mod addresses;
mod answers;
mod bulkheads;
mod deadlines;
mod kit;
mod retries;

#[path = "../kit/mod.rs"]
mod shared;
