//! The upkeep of the records. Claims themselves are part of each write's own transaction.

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::fault::Fault;

pub trait IdempotencyStore: Send + Sync {
    /// Forgets at most `limit` answered keys claimed before `before`. A key whose outcome is not known is kept, however
    /// old. Returns how many were forgotten.
    fn purge(&self, ctx: &RequestContext, before: Timestamp, limit: u32) -> PortFuture<u32, Fault>;

    /// Simulation only: moves every claim of `key` back in time by `hours`. Returns how many there were.
    fn age(&self, ctx: &RequestContext, key: String, hours: u32) -> PortFuture<u32, Fault>;
}
