//! The tests of the domain: its rules as tables and properties, and its use cases against the fakes of the kit.

mod attempts;
mod completion;
mod contexts;
mod countries;
mod customers;
mod discounts;
mod faults;
mod fulfillment;
mod kit;
mod orders;
mod outbox;
mod payments;
mod pricing;
mod purges;
mod refunds;
mod retries;
mod signing;
mod statuses;
mod stock;
mod totals;
mod values;
