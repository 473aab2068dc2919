//! Helpers for the tests of the senders: a clock, a store of keys, a store of platforms, and Python scripts.

pub mod python;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::clock::{Clock, Timestamp};
use domain::context::{PlatformId, RequestContext};
use domain::fault::{Fault, FaultKind};
use domain::order::OrderId;
use domain::outbox::{Content, EndpointHealth, Finality, OutboxMessage, OutboxMessageId, Receipt, SendError};
use domain::page::{Cursor, Limit, Page};
use domain::platform::{PinnedPlatform, PlatformStore};
use domain::signing::{KeyStore, SigningKey};
use serde_json::json;
use time::macros::datetime;

use crate::shared::Visit;

pub const NOON: Timestamp = datetime!(2026-04-08 12:00 UTC);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that does not advance by itself.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<Timestamp>>);

impl TestClock {
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }
    pub fn advance(&self, by: Duration) {
        *self.0.lock().expect("sound") += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("sound")
    }
    fn pause(&self, _: &RequestContext, by: Duration) -> PortFuture<(), Fault> {
        self.advance(by);
        Box::pin(async { Ok(()) })
    }
}

/// A store of keys in memory. If `is_down` is set, reading fails. A key from `rivals` is added just before the next
/// added key, as if another instance had added it.
#[derive(Clone, Default)]
pub struct Keys {
    pub stored: Arc<Mutex<Vec<SigningKey>>>,
    pub rivals: Arc<Mutex<Vec<SigningKey>>>,
    pub is_down: Arc<Mutex<bool>>,
    pub reads: Arc<Mutex<u32>>,
}

impl KeyStore for Keys {
    fn keys(&self, _: &RequestContext) -> PortFuture<Vec<SigningKey>, Fault> {
        let this = self.clone();
        Box::pin(async move {
            *this.reads.lock().expect("sound") += 1;
            if *this.is_down.lock().expect("sound") {
                return Err(Fault::new(FaultKind::Unavailable, "signing.keys"));
            }
            Ok(this.stored.lock().expect("sound").clone())
        })
    }

    fn add(&self, _: &RequestContext, key: SigningKey, seen: usize) -> PortFuture<bool, Fault> {
        let this = self.clone();
        Box::pin(async move {
            let mut stored = this.stored.lock().expect("sound");
            stored.extend(this.rivals.lock().expect("sound").pop());
            let is_next = stored.len() == seen;
            if is_next {
                stored.push(key);
            }
            Ok(is_next)
        })
    }

    fn revoke(&self, _: &RequestContext, id: String, now: Timestamp) -> PortFuture<bool, Fault> {
        let mut stored = self.stored.lock().expect("sound");
        let key = stored.iter_mut().find(|key| key.id == id && key.revoked_at.is_none());
        let is_revoked = key.map(|key| key.revoked_at = Some(now)).is_some();
        Box::pin(async move { Ok(is_revoked) })
    }
}

#[derive(Clone, Default)]
pub struct Platforms(pub Arc<Mutex<Vec<PinnedPlatform>>>);

impl Platforms {
    pub fn with(id: &PlatformId, profile: &str) -> Self {
        let platform = PinnedPlatform { id: id.clone(), profile: profile.to_owned(), pinned_at: NOON };
        Self(Arc::new(Mutex::new(vec![platform])))
    }
}

impl PlatformStore for Platforms {
    fn find(&self, _: &RequestContext, id: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault> {
        let found = self.0.lock().expect("sound").iter().find(|platform| platform.id == *id).cloned();
        Box::pin(async { Ok(found) })
    }
    fn pin(&self, _: &RequestContext, platform: PinnedPlatform) -> PortFuture<(), Fault> {
        self.0.lock().expect("sound").push(platform);
        Box::pin(async { Ok(()) })
    }
    fn list(&self, _: &RequestContext, _: Option<Cursor>, _: Limit) -> PortFuture<Page<PinnedPlatform>, Fault> {
        let all = self.0.lock().expect("sound").clone();
        Box::pin(async { Ok(Page { items: all, next: None }) })
    }
    fn remove(&self, _: &RequestContext, id: &PlatformId) -> PortFuture<bool, Fault> {
        self.0.lock().expect("sound").retain(|platform| platform.id != *id);
        Box::pin(async { Ok(true) })
    }
}

pub fn outbox_message(content: Content) -> OutboxMessage {
    OutboxMessage {
        id: OutboxMessageId::generate(NOON),
        order: OrderId::generate(NOON),
        event: "order_placed".to_owned(),
        occurred_at: NOON,
        content,
        attempts: 1,
        health: EndpointHealth::Proven,
        failures_before: 0,
        claims: 1,
        caused_by: None,
    }
}

/// Returns the reason of a failure, and checks that the failure is retried.
pub fn failed(outcome: Result<Receipt, SendError>) -> String {
    let failure = outcome.expect_err("a failure");
    assert_eq!(failure.finality, Finality::Again { after: None }, "{}", failure.reason);
    failure.reason
}

/// The profile of a platform with this webhook address.
pub fn profile(webhook_url: &str) -> String {
    let order = json!([{"version": "2026-04-08", "config": {"webhook_url": webhook_url}}]);
    json!({"ucp": {"version": "2026-04-08", "capabilities": {"dev.ucp.shopping.order": order}}}).to_string()
}

/// Like [`Visit::answer`], but takes an owned body.
pub async fn answer(visit: Visit, status: &str, headers: &str, body: String) {
    visit.answer(status, headers, &body).await;
}
