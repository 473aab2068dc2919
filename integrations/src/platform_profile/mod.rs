//! Where a platform wants to be told about its orders: it says so in its profile.
//!
//! A profile that the operator pinned counts, and the network is not asked. Any other is fetched from its address, which
//! is the platform's id, as from a stranger: over the guarded way out, without redirects, within limits of time and size.
//! What it said is remembered for as long as its Cache-Control allows, between a minute and a day, and a failure for
//! hardly any time. One platform is asked by one caller at a time; the others wait for what it hears.

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

pub use document::{ProfileSummary, validate_profile};

/// Platforms remembered at once. The one that was asked about longest ago is forgotten first.
const REMEMBERED: usize = 1_000;
/// Long enough for those who waited for the same answer; shorter than the first wait of a delivery, whose second try
/// shall be a try.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(1);

pub struct PlatformProfiles {
    registry: Arc<dyn PlatformStore>,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Counts the questions, so that the oldest can be told.
    questions: u64,
    by_platform: HashMap<PlatformId, Place>,
}

struct Place {
    asked: u64,
    answer: Arc<tokio::sync::Mutex<Option<Answer>>>,
}

struct Answer {
    outcome: Result<Option<Url>, ProfileError>,
    heard_at: Timestamp,
    lasts: Duration,
}

/// Why it is not known where a platform wants to be told. No text from the network is repeated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The platform's id is no address that the shop calls.
    #[error("{}", .0.as_str())]
    Blocked(Blocked),
    /// No answer, or one that is no profile. May be mended there.
    #[error("{0}")]
    Unusable(String),
    /// It was not asked: too much is under way.
    #[error("busy")]
    Busy,
    /// It was asked, and the caller's time was up before the platform's.
    #[error("timeout")]
    NotHeard,
    /// It was not asked: the registry failed, or the caller ran out of time before.
    #[error("{0}")]
    NotAsked(String),
}

impl PlatformProfiles {
    pub fn new(registry: Arc<dyn PlatformStore>, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self { registry, outbound, clock, known: Mutex::default() }
    }

    /// The address for the platform's order events; `None` if it takes none.
    pub async fn webhook_url(&self, ctx: &RequestContext, platform: &PlatformId) -> Result<Option<Url>, ProfileError> {
        let pinned = self.registry.find(ctx, platform).await;
        if let Some(pinned) = pinned.map_err(|fault| ProfileError::NotAsked(fault.chain()))? {
            return read(&pinned.profile);
        }
        let place = self.place_of(platform).ok_or(ProfileError::Busy)?;
        let mut answer = tokio::select! {
            biased;
            () = ctx.cancellation().cancelled() => return Err(ProfileError::NotAsked("cancelled".to_owned())),
            answer = tokio::time::timeout(ctx.deadline().remaining(), place.lock()) => {
                answer.map_err(|_| ProfileError::Busy)?
            }
        };
        if let Some(known) = answer.as_ref().filter(|known| known.is_fresh_at(self.clock.now())) {
            return known.outcome.clone();
        }
        let (outcome, lasts) = match self.fetch(ctx, platform).await {
            Ok((url, lasts)) => (Ok(url), lasts),
            Err(error) => (Err(error), FAILURE_REMEMBERED),
        };
        if !matches!(outcome, Err(ProfileError::NotAsked(_) | ProfileError::Busy | ProfileError::NotHeard)) {
            *answer = Some(Answer { outcome: outcome.clone(), heard_at: self.clock.now(), lasts });
        }
        outcome
    }

    async fn fetch(
        &self,
        ctx: &RequestContext,
        platform: &PlatformId,
    ) -> Result<(Option<Url>, Duration), ProfileError> {
        let to = self.outbound.given(&platform.0).map_err(ProfileError::Blocked)?;
        let to = to.in_bulkhead(format!("profile:{}", platform.0));
        if ctx.deadline().remaining().is_zero() {
            return Err(ProfileError::NotAsked("timeout".to_owned()));
        }
        // Asked once: the delivery that needs the answer is tried again by a schedule of its own.
        let call = Call::get("platform_profile.fetch", to, Limits::PROFILE).repeat(Repeat::Never);
        let call = call.header("accept", "application/json");
        let reply = self.outbound.send(ctx, call).await.map_err(|error| match error.reason() {
            Reason::Blocked(blocked) => ProfileError::Blocked(blocked),
            Reason::Busy => ProfileError::Busy,
            Reason::Cancelled => ProfileError::NotAsked(error.reason().as_str().to_owned()),
            // The caller's own time may be up long before the platform's.
            Reason::Deadline if ctx.deadline().remaining().is_zero() => ProfileError::NotHeard,
            Reason::Deadline => ProfileError::Unusable("timeout".to_owned()),
            Reason::BadRequest | Reason::Unreachable | Reason::Broken | Reason::Unreadable | Reason::TooLarge => {
                ProfileError::Unusable(error.reason().as_str().to_owned())
            }
        })?;
        if reply.status != 200 {
            return Err(ProfileError::Unusable(format!("answered {}", reply.status)));
        }
        let document = std::str::from_utf8(&reply.body).map_err(|_| ProfileError::Unusable("not UTF-8".to_owned()))?;
        let cache_control = reply.headers.get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
        Ok((read(document)?, freshness::lasts(cache_control)))
    }

    /// Where the platform's answer is kept. `None` if there is no room and nothing that can be forgotten.
    fn place_of(&self, platform: &PlatformId) -> Option<Arc<tokio::sync::Mutex<Option<Answer>>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.questions += 1;
        let asked = known.questions;
        if let Some(place) = known.by_platform.get_mut(platform) {
            place.asked = asked;
            return Some(Arc::clone(&place.answer));
        }
        if known.by_platform.len() >= REMEMBERED {
            let idle = known.by_platform.iter().filter(|(_, place)| Arc::strong_count(&place.answer) == 1);
            let oldest = idle.min_by_key(|(_, place)| place.asked).map(|(id, _)| id.clone());
            known.by_platform.remove(&oldest?);
        }
        let answer = Arc::default();
        known.by_platform.insert(platform.clone(), Place { asked, answer: Arc::clone(&answer) });
        Some(answer)
    }
}

impl Answer {
    /// A clock that was set back makes it old too.
    fn is_fresh_at(&self, now: Timestamp) -> bool {
        (self.heard_at..self.heard_at + self.lasts).contains(&now)
    }
}

fn read(document: &str) -> Result<Option<Url>, ProfileError> {
    let summary = validate_profile(document).map_err(|what| ProfileError::Unusable(format!("malformed: {what}")))?;
    Ok(summary.webhook_url)
}
