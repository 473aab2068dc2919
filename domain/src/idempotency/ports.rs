//! The clean-up of stored keys. The claim of a key is part of the transaction of each write.

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;

/// The store of claimed idempotency keys.
pub trait IdempotencyStore: Send + Sync {
    /// Deletes at most `limit` keys that have an outcome and were claimed before `before`. A key without a known
    /// outcome is kept, however old. Returns the number of deleted keys. One transaction.
    fn purge(&self, ctx: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// For the simulation only: moves each claim of `key` back in time by `hours`. Returns the number of claims. One
    /// transaction.
    fn age(&self, ctx: &RequestContext, key: String, hours: u32) -> PortFuture<u32, Fault>;
}
