//! A payment gateway to test against: Stripe's wire shapes, a ledger that is the judge, and faults on demand.
