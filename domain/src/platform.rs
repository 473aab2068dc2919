//! Platforms that the operator has pinned, with their profiles. The shop uses a pinned profile and does not fetch it
//! from the network.

use crate::PortFuture;
use crate::clock::Timestamp;
use crate::context::{PlatformId, RequestContext};
use crate::fault::Fault;
use crate::page::{Cursor, Limit, Page};

/// A platform and its profile, as pinned by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPlatform {
    pub id: PlatformId,
    /// The profile document, byte for byte.
    pub profile: String,
    pub pinned_at: Timestamp,
}

/// The store of pinned platforms. Each method is one transaction.
pub trait PlatformStore: Send + Sync {
    /// The platform with this id, or `None` if it is not pinned.
    fn find(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault>;

    /// Adds the platform, or replaces the platform with the same id. Idempotent.
    fn pin(&self, ctx: &RequestContext, platform: PinnedPlatform) -> PortFuture<(), Fault>;

    /// A page of the platforms in the order of their ids. The cursor is the id of a platform.
    fn list(
        &self,
        ctx: &RequestContext,
        after: Option<Cursor>,
        limit: Limit,
    ) -> PortFuture<Page<PinnedPlatform>, Fault>;

    /// Removes the platform with this id. Returns whether it existed. Idempotent.
    fn remove(&self, ctx: &RequestContext, id: &PlatformId) -> PortFuture<bool, Fault>;
}
