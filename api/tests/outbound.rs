//! Tests of outbound calls and inbound events: a payment gateway with every kind of failure, webhooks to platforms, and
//! email to buyers. The tests use the real binary, real sockets, and independent programs that verify the results.
//!
//! `XTASK_FAULTS=full` raises the number of receivers.

#![allow(clippy::disallowed_methods, reason = "these tests own threads, clocks and processes, and read their extent")]
#![allow(clippy::print_stdout, reason = "the numbers of a run")]

#[allow(dead_code, reason = "the faults use more of it")]
#[path = "faults/database.rs"]
mod database;
#[allow(dead_code, reason = "the faults use more of it")]
#[path = "faults/extent.rs"]
mod extent;
#[path = "faults/invariants.rs"]
mod invariants;
#[allow(unused_imports, reason = "the kit serves every test binary")]
#[path = "kit/mod.rs"]
mod kit;
#[allow(dead_code, reason = "the sender tests use more of it")]
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
#[path = "outbound/platforms.rs"]
mod platforms;
#[path = "outbound/production.rs"]
mod production;
#[path = "outbound/refunds.rs"]
mod refunds;
#[path = "outbound/tools.rs"]
mod tools;
#[path = "outbound/webhooks.rs"]
mod webhooks;
