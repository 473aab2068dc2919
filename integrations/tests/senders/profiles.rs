//! The webhook address of a platform: from a pinned profile, from a fetched profile, and from the cache.

use std::sync::Arc;
use std::time::Duration;

use domain::context::{PlatformId, RequestContext};
use integrations::outbound::{Blocked, Outbound, OutboundConfig, UntrustedPolicy};
use integrations::platform_profile::{PlatformProfiles, ProfileError};
use serde_json::json;
use tokio::task::JoinSet;

use crate::kit::{DAY, NOON, Platforms, TestClock, answer, profile};
use crate::network::{AMPLE, Server, Visit, ctx, outbound};

const HOOK: &str = "https://platform.example/hook?tenant=7";
const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    profiles: Arc<PlatformProfiles>,
    clock: TestClock,
}

fn fixture() -> Fixture {
    fixture_with(Platforms::default(), outbound())
}

fn fixture_with(platforms: Platforms, outbound: Outbound) -> Fixture {
    let clock = TestClock::at(NOON);
    let profiles = PlatformProfiles::new(Arc::new(platforms), outbound, Arc::new(clock.clone()));
    Fixture { profiles: Arc::new(profiles), clock }
}

impl Fixture {
    async fn ask(&self, platform: &PlatformId) -> Result<Option<String>, ProfileError> {
        self.ask_as(&ctx(AMPLE), platform).await
    }
    async fn ask_as(&self, ctx: &RequestContext, platform: &PlatformId) -> Result<Option<String>, ProfileError> {
        self.profiles.webhook_url(ctx, platform).await.map(|url| url.map(String::from))
    }
}

fn platform(server: &Server) -> PlatformId {
    PlatformId(server.url())
}

fn known() -> Result<Option<String>, ProfileError> {
    Ok(Some(HOOK.to_owned()))
}

async fn publishing(headers: &'static str) -> Server {
    Server::start(move |visit: Visit| answer(visit, "200 OK", headers, profile(HOOK))).await
}

#[tokio::test]
async fn pinned_profile_is_used_without_the_network() {
    let server = Server::start(Visit::hang).await;
    let pinned = fixture_with(Platforms::with(&platform(&server), &profile(HOOK)), outbound());
    assert_eq!(pinned.ask(&platform(&server)).await, known());
    let silent = json!({"ucp": {"version": "2026-04-08", "capabilities": {}}}).to_string();
    let silent = fixture_with(Platforms::with(&platform(&server), &silent), outbound());
    assert_eq!(silent.ask(&platform(&server)).await, Ok(None));
    let broken = fixture_with(Platforms::with(&platform(&server), "{}"), outbound());
    let malformed = ProfileError::Unusable("malformed: ucp is missing".to_owned());
    assert_eq!(broken.ask(&platform(&server)).await, Err(malformed));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn profile_is_cached_for_its_max_age_within_bounds() {
    let minutes = |minutes: u64| SECOND * 60 * u32::try_from(minutes).expect("few");
    for (headers, lasts) in [
        ("cache-control: public, max-age=600\r\n", minutes(10)),
        ("cache-control: no-store\r\n", minutes(1)),
        ("", minutes(1)),
        ("cache-control: max-age=31536000\r\n", DAY),
    ] {
        let (server, fixture) = (publishing(headers).await, fixture());
        for (after, requests) in [(Duration::ZERO, 1), (lasts - SECOND, 1), (SECOND, 2)] {
            fixture.clock.advance(after);
            assert_eq!(fixture.ask(&platform(&server)).await, known());
            assert_eq!(server.requests().len(), requests, "{headers} {after:?}");
        }
        assert!(server.requests()[0].starts_with("get /hook?token=hidden "), "{}", server.requests()[0]);
    }
}

#[tokio::test]
async fn failure_is_cached_for_a_second() {
    let server = Server::start(async |visit: Visit| match visit.number {
        0 => visit.answer("404 Not Found", "", "").await,
        _ => visit.answer("200 OK", "", &profile(HOOK)).await,
    });
    let (server, fixture) = (server.await, fixture());
    let missing = Err(ProfileError::Unusable("answered 404".to_owned()));
    assert_eq!(fixture.ask(&platform(&server)).await, missing);
    assert_eq!(fixture.ask(&platform(&server)).await, missing);
    assert_eq!(server.requests().len(), 1);
    fixture.clock.advance(SECOND);
    assert_eq!(fixture.ask(&platform(&server)).await, known());
}

#[tokio::test]
async fn concurrent_callers_fetch_once() {
    let (server, fixture) = (publishing("").await, fixture());
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (profiles, platform) = (Arc::clone(&fixture.profiles), platform(&server));
        asking
            .spawn(async move { profiles.webhook_url(&ctx(AMPLE), &platform).await.map(|url| url.map(String::from)) });
    }
    for outcome in asking.join_all().await {
        assert_eq!(outcome, known());
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn hanging_platform_delays_only_its_own_callers() {
    let (hanging, healthy, fixture) = (Server::start(Visit::hang).await, publishing("").await, fixture());
    let late = Err(ProfileError::Timeout);
    let not_fetched = Err(ProfileError::Busy);
    let (short, shorter) = (ctx(Duration::from_millis(400)), ctx(Duration::from_millis(200)));
    let (slow, fast) = (platform(&hanging), platform(&healthy));
    let (first, waiting, other) =
        tokio::join!(fixture.ask_as(&short, &slow), fixture.ask_as(&shorter, &slow), fixture.ask(&fast));
    assert_eq!((first, waiting, other), (late, not_fetched, known()));
}

#[tokio::test]
async fn error_names_what_is_wrong_with_a_profile() {
    let big = format!("{{\"ucp\": \"{}\"}}", "x".repeat(300 * 1024));
    for (status, headers, body, reason) in [
        ("302 Found", "location: http://127.0.0.1:1/\r\n", String::new(), "answered 302"),
        ("500 Broken", "", String::new(), "answered 500"),
        ("204 No Content", "", String::new(), "answered 204"),
        ("200 OK", "", big, "too_large"),
        ("200 OK", "", "<html>".to_owned(), "malformed: not JSON: line 1, column 1"),
        ("200 OK", "", "{}".to_owned(), "malformed: ucp is missing"),
    ] {
        let server = Server::start(move |visit: Visit| answer(visit, status, headers, body.clone())).await;
        let outcome = fixture().ask(&platform(&server)).await;
        assert_eq!(outcome, Err(ProfileError::Unusable(reason.to_owned())), "{status}");
    }
}

#[tokio::test]
async fn profile_of_a_forbidden_address_is_not_fetched() {
    let public = Outbound::new(OutboundConfig::new(UntrustedPolicy::Public)).expect("a client");
    let fixture = fixture_with(Platforms::default(), public);
    let server = publishing("").await;
    for (id, word) in [
        (server.url().as_str(), "blocked_scheme"),
        ("https://127.0.0.1/profile", "blocked_address"),
        ("https://localhost/profile", "blocked_host"),
        ("platform", "malformed_url"),
    ] {
        let error = fixture.ask(&PlatformId(id.to_owned())).await.expect_err("blocked");
        assert!(matches!(&error, ProfileError::Blocked(blocked) if blocked.into_str() == word), "{id}: {error}");
    }
    assert_eq!(server.requests().len(), 0);
    assert_eq!(ProfileError::Blocked(Blocked::Scheme).to_string(), "blocked_scheme");
}

#[tokio::test]
async fn least_recently_used_profile_is_removed_from_the_cache() {
    let (server, fixture) = (publishing("cache-control: max-age=600\r\n").await, fixture());
    let platform = |number: u32| PlatformId(format!("{}&platform={number}", server.url()));
    for number in 0..1_000 {
        assert_eq!(fixture.ask(&platform(number)).await, known());
    }
    // Platform 0 is used again, so the profile of platform 1 is now the least recently used.
    fixture.ask(&platform(0)).await.expect("known");
    fixture.ask(&platform(1_000)).await.expect("known");
    let before = server.requests().len();
    fixture.ask(&platform(0)).await.expect("known");
    assert_eq!(server.requests().len(), before, "it was still in the cache");
    fixture.ask(&platform(1)).await.expect("known");
    assert_eq!(server.requests().len(), before + 1, "it was removed");
}
