//! Where a platform wants to be told: from the registry, from its profile, and from memory.

use std::sync::Arc;
use std::time::Duration;

use domain::context::{PlatformId, RequestContext};
use integrations::outbound::{Blocked, GivenPolicy, Outbound, OutboundConfig};
use integrations::platform_profile::{PlatformProfiles, ProfileError};
use serde_json::json;
use tokio::task::JoinSet;

use crate::kit::{DAY, NOON, Registry, TestClock, answer, profile};
use crate::network::{AMPLE, Server, Visit, ctx, outbound};

const HOOK: &str = "https://platform.example/hook?tenant=7";
const SECOND: Duration = Duration::from_secs(1);

struct Stand {
    profiles: Arc<PlatformProfiles>,
    clock: TestClock,
}

fn stand() -> Stand {
    stand_with(Registry::default(), outbound())
}

fn stand_with(registry: Registry, outbound: Outbound) -> Stand {
    let clock = TestClock::at(NOON);
    let profiles = PlatformProfiles::new(Arc::new(registry), outbound, Arc::new(clock.clone()));
    Stand { profiles: Arc::new(profiles), clock }
}

impl Stand {
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
async fn a_pinned_profile_counts_and_the_network_is_not_asked() {
    let server = Server::start(Visit::hang).await;
    let pinned = stand_with(Registry::with(&platform(&server), &profile(HOOK)), outbound());
    assert_eq!(pinned.ask(&platform(&server)).await, known());
    let silent = json!({"ucp": {"version": "2026-04-08", "capabilities": {}}}).to_string();
    let silent = stand_with(Registry::with(&platform(&server), &silent), outbound());
    assert_eq!(silent.ask(&platform(&server)).await, Ok(None));
    let broken = stand_with(Registry::with(&platform(&server), "{}"), outbound());
    let malformed = ProfileError::Unusable("malformed: ucp is missing".to_owned());
    assert_eq!(broken.ask(&platform(&server)).await, Err(malformed));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_profile_is_remembered_for_as_long_as_it_says_within_bounds() {
    let minutes = |minutes: u64| SECOND * 60 * u32::try_from(minutes).expect("few");
    for (headers, lasts) in [
        ("cache-control: public, max-age=600\r\n", minutes(10)),
        ("cache-control: no-store\r\n", minutes(1)),
        ("", minutes(1)),
        ("cache-control: max-age=31536000\r\n", DAY),
    ] {
        let (server, stand) = (publishing(headers).await, stand());
        for (after, requests) in [(Duration::ZERO, 1), (lasts - SECOND, 1), (SECOND, 2)] {
            stand.clock.advance(after);
            assert_eq!(stand.ask(&platform(&server)).await, known());
            assert_eq!(server.requests().len(), requests, "{headers} {after:?}");
        }
        assert!(server.requests()[0].starts_with("get /hook?token=hidden "), "{}", server.requests()[0]);
    }
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_second_only() {
    let server = Server::start(async |visit: Visit| match visit.number {
        0 => visit.answer("404 Not Found", "", "").await,
        _ => visit.answer("200 OK", "", &profile(HOOK)).await,
    });
    let (server, stand) = (server.await, stand());
    let missing = Err(ProfileError::Unusable("answered 404".to_owned()));
    assert_eq!(stand.ask(&platform(&server)).await, missing);
    assert_eq!(stand.ask(&platform(&server)).await, missing);
    assert_eq!(server.requests().len(), 1);
    stand.clock.advance(SECOND);
    assert_eq!(stand.ask(&platform(&server)).await, known());
}

#[tokio::test]
async fn many_that_ask_at_once_ask_once() {
    let (server, stand) = (publishing("").await, stand());
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (profiles, platform) = (Arc::clone(&stand.profiles), platform(&server));
        asking
            .spawn(async move { profiles.webhook_url(&ctx(AMPLE), &platform).await.map(|url| url.map(String::from)) });
    }
    for outcome in asking.join_all().await {
        assert_eq!(outcome, known());
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn one_that_hangs_keeps_callers_until_their_deadline_and_no_other_platform() {
    let (hanging, healthy, stand) = (Server::start(Visit::hang).await, publishing("").await, stand());
    let late = Err(ProfileError::NotHeard);
    let not_asked = Err(ProfileError::Busy);
    let (short, shorter) = (ctx(Duration::from_millis(400)), ctx(Duration::from_millis(200)));
    let (slow, fast) = (platform(&hanging), platform(&healthy));
    let (first, waiting, other) =
        tokio::join!(stand.ask_as(&short, &slow), stand.ask_as(&shorter, &slow), stand.ask(&fast));
    assert_eq!((first, waiting, other), (late, not_asked, known()));
}

#[tokio::test]
async fn what_is_no_profile_is_named() {
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
        let outcome = stand().ask(&platform(&server)).await;
        assert_eq!(outcome, Err(ProfileError::Unusable(reason.to_owned())), "{status}");
    }
}

#[tokio::test]
async fn a_platform_of_which_no_profile_may_be_fetched() {
    let public = Outbound::new(OutboundConfig::new(GivenPolicy::Public)).expect("a client");
    let stand = stand_with(Registry::default(), public);
    let server = publishing("").await;
    for (id, word) in [
        (server.url().as_str(), "blocked_scheme"),
        ("https://127.0.0.1/profile", "blocked_address"),
        ("https://localhost/profile", "blocked_host"),
        ("platform", "malformed_url"),
    ] {
        let error = stand.ask(&PlatformId(id.to_owned())).await.expect_err("blocked");
        assert!(matches!(&error, ProfileError::Blocked(blocked) if blocked.as_str() == word), "{id}: {error}");
    }
    assert_eq!(server.requests().len(), 0);
    assert_eq!(ProfileError::Blocked(Blocked::Scheme).to_string(), "blocked_scheme");
}

#[tokio::test]
async fn a_thousand_platforms_are_remembered_and_the_one_asked_about_longest_ago_is_forgotten() {
    let (server, stand) = (publishing("cache-control: max-age=600\r\n").await, stand());
    let platform = |number: u32| PlatformId(format!("{}&platform={number}", server.url()));
    for number in 0..1_000 {
        assert_eq!(stand.ask(&platform(number)).await, known());
    }
    // The first is asked about again, so the second is now the oldest.
    stand.ask(&platform(0)).await.expect("known");
    stand.ask(&platform(1_000)).await.expect("known");
    let before = server.requests().len();
    stand.ask(&platform(0)).await.expect("known");
    assert_eq!(server.requests().len(), before, "it was still remembered");
    stand.ask(&platform(1)).await.expect("known");
    assert_eq!(server.requests().len(), before + 1, "it was forgotten");
}
