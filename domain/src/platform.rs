//! Platforms that the operator has approved, with their profiles pinned: the shop then asks no network who they are.

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::{PlatformId, RequestContext};
use crate::fault::Fault;

/// A platform and its profile as the operator pinned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPlatform {
    pub id: PlatformId,
    /// The profile's document, to the letter.
    pub profile: String,
    pub pinned_at: Timestamp,
}

/// The approved platforms. Each method is one transaction.
pub trait PlatformStore: Send + Sync {
    fn find(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault>;

    /// Adds it, or replaces what was pinned under its id.
    fn pin(&self, ctx: &RequestContext, platform: PinnedPlatform) -> PortFuture<(), Fault>;

    /// By id, at most `limit`.
    fn list(&self, ctx: &RequestContext, limit: u32) -> PortFuture<Vec<PinnedPlatform>, Fault>;

    /// Whether there was one.
    fn remove(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<bool, Fault>;
}
