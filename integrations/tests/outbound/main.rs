//! `Outbound` over real sockets, with servers that hang, send slowly, break the connection or redirect.

mod addresses;
mod answers;
mod bulkheads;
mod deadlines;
mod destinations;
mod kit;
mod retries;

#[path = "../kit/mod.rs"]
mod shared;
