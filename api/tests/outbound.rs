//! What the shop does to others and what others do to it: a payment gateway that fails in every way it can, platforms
//! that are told of their orders, buyers who are written to. The real binary, real sockets, and judges of others' making.
//!
//! `XTASK_FAULTS=full` makes the crowd of receivers as large as it is meant to be.

#![allow(clippy::disallowed_methods, reason = "these tests own threads, clocks and processes, and read their extent")]
#![allow(clippy::print_stdout, reason = "the numbers of a run")]

#[allow(dead_code, reason = "the faults use more of it")]
#[path = "faults/books.rs"]
mod books;
#[allow(dead_code, reason = "the faults use more of it")]
#[path = "faults/extent.rs"]
mod extent;
#[path = "faults/invariants.rs"]
mod invariants;
#[allow(unused_imports, reason = "the kit serves every test binary")]
#[path = "kit/mod.rs"]
mod kit;
#[allow(dead_code, reason = "the couriers use more of it")]
#[path = "../../integrations/tests/senders/kit/python.rs"]
mod python;
#[path = "outbound/receiver.rs"]
mod receiver;
#[path = "outbound/shop.rs"]
mod shop;

#[path = "outbound/backlog.rs"]
mod backlog;
#[path = "outbound/capture.rs"]
mod capture;
#[path = "outbound/fan_out.rs"]
mod fan_out;
#[path = "outbound/gateway_answers.rs"]
mod gateway_answers;
#[path = "outbound/gateway_events.rs"]
mod gateway_events;
#[path = "outbound/gateway_outages.rs"]
mod gateway_outages;
#[path = "outbound/hostile.rs"]
mod hostile;
#[path = "outbound/leases.rs"]
mod leases;
#[path = "outbound/mail.rs"]
mod mail;
#[path = "outbound/production.rs"]
mod production;
#[path = "outbound/refunds.rs"]
mod refunds;
#[path = "outbound/tools.rs"]
mod tools;
#[path = "outbound/webhooks.rs"]
mod webhooks;
