//! Finds the webhook address of a platform in the platform's profile.
//!
//! If the operator pinned a profile for the platform, that profile is used without the network. Otherwise the profile
//! is fetched. Its URL is the id of the platform, and the URL is an untrusted destination: the fetch follows no
//! redirect and has limits of time and size. A fetched profile is cached for as long as its `Cache-Control` allows, but
//! at least a minute and at most a day. A failure is cached for a second. Only one caller at a time fetches the profile
//! of a platform, and the other callers wait for the result.

mod document;
mod freshness;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::context::{PlatformId, RequestContext};
use domain::platform::PlatformStore;
use url::Url;

use crate::outbound::{Blocked, Call, Limits, Outbound, Reason, Repeat};

pub use document::validate_profile;

/// The most profiles in the cache. The least recently used profile is removed first.
const MAX_CACHED: usize = 1_000;
/// How long a failed fetch stays in the cache. Callers that waited for the same profile get the cached failure. The
/// time is shorter than the first wait of the outbox between two attempts, so the second attempt of a message fetches
/// the profile again.
const FAILURE_CACHED: Duration = Duration::from_secs(1);

pub struct PlatformProfiles {
    platforms: Arc<dyn PlatformStore>,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// The number of uses of the cache so far. It numbers the uses, to find the least recently used entry.
    uses: u64,
    by_platform: HashMap<PlatformId, Entry>,
}

struct Entry {
    used: u64,
    /// The last outcome that was cached, or `None` before the first. A caller holds the lock while it fetches the
    /// profile.
    profile: Arc<tokio::sync::Mutex<Option<CachedProfile>>>,
}

struct CachedProfile {
    outcome: Result<Option<Url>, ProfileError>,
    fetched_at: Timestamp,
    lasts: Duration,
}

/// Why the webhook address of a platform is not known. Contains no text from the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The id of the platform is not a URL that the shop may call.
    #[error("{}", .0.into_str())]
    Blocked(Blocked),
    /// There was no response, or the response is not a profile. The platform may correct this.
    #[error("{0}")]
    Unusable(String),
    /// Not fetched: the bulkhead or the cache is full, or another caller was still fetching the profile at the
    /// deadline.
    #[error("busy")]
    Busy,
    /// The caller's deadline passed during the fetch.
    #[error("timeout")]
    Timeout,
    /// Not fetched: the store failed, the call was cancelled, or the caller's deadline passed before the fetch.
    #[error("{0}")]
    NotFetched(String),
}

impl PlatformProfiles {
    pub fn new(platforms: Arc<dyn PlatformStore>, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self { platforms, outbound, clock, cache: Mutex::default() }
    }

    /// Returns the address for webhooks about the platform's orders. `None` if the platform wants no webhooks.
    pub async fn webhook_url(&self, ctx: &RequestContext, platform: &PlatformId) -> Result<Option<Url>, ProfileError> {
        let pinned = self.platforms.find(ctx, platform).await;
        if let Some(pinned) = pinned.map_err(|fault| ProfileError::NotFetched(fault.chain()))? {
            return read(&pinned.profile);
        }
        let entry = self.entry_of(platform).ok_or(ProfileError::Busy)?;
        let mut cached = tokio::select! {
            biased;
            () = ctx.cancellation().cancelled() => return Err(ProfileError::NotFetched("cancelled".to_owned())),
            cached = tokio::time::timeout(ctx.deadline().remaining(), entry.lock()) => {
                cached.map_err(|_| ProfileError::Busy)?
            }
        };
        if let Some(fresh) = cached.as_ref().filter(|cached| cached.is_fresh_at(self.clock.now())) {
            return fresh.outcome.clone();
        }
        let (outcome, lasts) = match self.fetch(ctx, platform).await {
            Ok((url, lasts)) => (Ok(url), lasts),
            Err(error) => (Err(error), FAILURE_CACHED),
        };
        if !matches!(outcome, Err(ProfileError::NotFetched(_) | ProfileError::Busy | ProfileError::Timeout)) {
            *cached = Some(CachedProfile { outcome: outcome.clone(), fetched_at: self.clock.now(), lasts });
        }
        outcome
    }

    async fn fetch(
        &self,
        ctx: &RequestContext,
        platform: &PlatformId,
    ) -> Result<(Option<Url>, Duration), ProfileError> {
        let to = self.outbound.untrusted(&platform.0).map_err(ProfileError::Blocked)?;
        let to = to.in_bulkhead(format!("profile:{}", platform.0));
        if ctx.deadline().remaining().is_zero() {
            return Err(ProfileError::NotFetched("timeout".to_owned()));
        }
        // The call is not repeated, because the outbox retries the message that needs the profile.
        let call = Call::get("platform_profile.fetch", to, Limits::PROFILE).repeat(Repeat::Never);
        let call = call.header("accept", "application/json");
        let reply = self.outbound.send(ctx, call).await.map_err(|error| match error.reason {
            Reason::Blocked(blocked) => ProfileError::Blocked(blocked),
            Reason::Busy => ProfileError::Busy,
            Reason::Cancelled => ProfileError::NotFetched(error.reason.as_str().to_owned()),
            // The caller's deadline may be much earlier than the limit of the fetch. In that case the platform is not
            // at fault.
            Reason::Deadline if ctx.deadline().remaining().is_zero() => ProfileError::Timeout,
            Reason::Deadline => ProfileError::Unusable("timeout".to_owned()),
            Reason::BadRequest | Reason::Unreachable | Reason::Broken | Reason::Unreadable | Reason::TooLarge => {
                ProfileError::Unusable(error.reason.as_str().to_owned())
            }
        })?;
        if reply.status != 200 {
            return Err(ProfileError::Unusable(format!("answered {}", reply.status)));
        }
        let document = std::str::from_utf8(&reply.body).map_err(|_| ProfileError::Unusable("not UTF-8".to_owned()))?;
        let cache_control = reply.headers.get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
        Ok((read(document)?, freshness::cache_time(cache_control)))
    }

    /// Returns the cache entry of the platform, and creates it if needed. `None` if the cache is full and all entries
    /// are in use.
    fn entry_of(&self, platform: &PlatformId) -> Option<Arc<tokio::sync::Mutex<Option<CachedProfile>>>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.uses += 1;
        let used = cache.uses;
        if let Some(entry) = cache.by_platform.get_mut(platform) {
            entry.used = used;
            return Some(Arc::clone(&entry.profile));
        }
        if cache.by_platform.len() >= MAX_CACHED {
            let idle = cache.by_platform.iter().filter(|(_, entry)| Arc::strong_count(&entry.profile) == 1);
            let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(id, _)| id.clone());
            cache.by_platform.remove(&oldest?);
        }
        let profile = Arc::default();
        cache.by_platform.insert(platform.clone(), Entry { used, profile: Arc::clone(&profile) });
        Some(profile)
    }
}

impl CachedProfile {
    /// Whether the cached outcome may be used at `now`. It may not if the clock was set back to a time before the
    /// fetch.
    fn is_fresh_at(&self, now: Timestamp) -> bool {
        (self.fetched_at..self.fetched_at + self.lasts).contains(&now)
    }
}

fn read(document: &str) -> Result<Option<Url>, ProfileError> {
    validate_profile(document).map_err(|what| ProfileError::Unusable(format!("malformed: {what}")))
}
