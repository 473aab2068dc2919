//! Webhooks to receivers on real sockets that accept, refuse, hang, send slowly or break the connection.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::clock::Clock;
use domain::context::{PlatformId, RequestContext, Stopwatch};
use domain::fault::{Fault, FaultKind};
use domain::outbox::{Content, Finality, OutboxMessage, Receipt, SendError, Sender};
use domain::page::{Cursor, Limit, Page};
use domain::platform::{PinnedPlatform, PlatformStore};
use integrations::outbound::{BulkheadLimits, Outbound, OutboundConfig};
use integrations::platform_profile::PlatformProfiles;
use integrations::signatures::Signer;
use integrations::webhooks::WebhookSender;
use serde_json::{Value, json};
use url::Url;

use crate::kit::python::Script;
use crate::kit::{Keys, NOON, Platforms, TestClock, answer, failed, outbox_message, profile};
use crate::network::{AMPLE, Lines, Names, SOON, Server, Visit, config, ctx, ctx_with, outbound};

const SHOP: &str = "https://shop.example/.well-known/ucp";
const PLATFORM: &str = "https://platform.example/profile";
const DOCUMENT: &str = "{\"id\":\"order_1\",  \"title\":\"Gummibärchen\"}\n";

/// A sender for one platform, whose profile is pinned.
struct Fixture {
    sender: WebhookSender,
    signer: Arc<Signer>,
    clock: TestClock,
}

fn fixture(hook: &str) -> Fixture {
    fixture_with(&profile(hook), outbound())
}

fn fixture_with(profile: &str, outbound: Outbound) -> Fixture {
    let clock = TestClock::at(NOON);
    let platforms = Platforms::with(&PlatformId(PLATFORM.to_owned()), profile);
    let signer = Arc::new(Signer::new(Arc::new(Keys::default()), Arc::new(clock.clone())));
    let profiles = PlatformProfiles::new(Arc::new(platforms), outbound.clone(), Arc::new(clock.clone()));
    let shop = Url::parse(SHOP).expect("a url");
    let sender = WebhookSender::new(outbound, Arc::new(profiles), Arc::clone(&signer), Arc::new(clock.clone()), &shop);
    let sender = sender.expect("a profile");
    Fixture { sender, signer, clock }
}

impl Fixture {
    async fn send(&self) -> Result<Receipt, SendError> {
        self.sender.send(&ctx(AMPLE), &event()).await
    }
}

fn event() -> OutboxMessage {
    outbox_message(Content::Webhook { platform: PlatformId(PLATFORM.to_owned()), document: DOCUMENT.to_owned() })
}

#[tokio::test]
async fn webhook_keeps_body_and_id_and_gets_a_new_signature_for_each_attempt() {
    let server = Server::start(async |visit: Visit| visit.answer("204 No Content", "", "").await).await;
    let fixture = fixture(&server.url());
    let event = event();
    for _ in 0..2 {
        assert_eq!(fixture.sender.send(&ctx(AMPLE), &event).await, Ok(Receipt::Accepted));
        fixture.clock.advance(Duration::from_secs(30));
    }
    let requests = server.received();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.text.starts_with("POST /hook?token=hidden HTTP/1.1\r\n"), "{request:?}");
        assert_eq!(request.body(), DOCUMENT);
        for (name, expected) in [
            ("content-type", "application/json"),
            ("webhook-id", event.id.as_str()),
            ("idempotency-key", event.id.as_str()),
            ("webhook-timestamp", "1775649600"),
            ("x-event-type", "order_placed"),
            ("ucp-agent", r#"profile="https://shop.example/.well-known/ucp""#),
        ] {
            assert_eq!(request.header(name), Some(expected), "{name}");
        }
    }
    let inputs: Vec<_> = requests.iter().map(|request| request.header("signature-input").expect("signed")).collect();
    assert!(inputs[0].contains(";created=1775649600;") && inputs[1].contains(";created=1775649630;"), "{inputs:?}");
    assert_ne!(requests[0].header("signature"), requests[1].header("signature"));
}

#[tokio::test]
async fn receiver_verifies_the_signature_and_detects_changes() {
    let Some(mut judge) = Script::start("verify.py", &[]) else { return };
    let server = Server::start(async |visit: Visit| visit.answer("200 OK", "", "{}").await).await;
    let fixture = fixture(&server.url());
    assert_eq!(fixture.send().await, Ok(Receipt::Accepted));
    let keys = json!(fixture.signer.published(&ctx(AMPLE)).await.expect("published"));
    let request = server.received().remove(0);
    assert_eq!(judge.verify_webhook(&request, &keys), Value::Null);
    let id = request.header("webhook-id").expect("an id").to_owned();
    for (from, to) in [
        ("token=hidden", "token=found"),
        ("/hook", "/hood"),
        ("Gummib", "Lakritzb"),
        ("webhook-timestamp: 1775649600", "webhook-timestamp: 1775649601"),
        ("x-event-type: order_placed", "x-event-type: order_shipped"),
        (id.as_str(), "msg_0196147f5b887b3a9c1d2e3f4a5b6c7d"),
        ("shop.example", "shop2.example"),
        ("application/json", "text/json"),
    ] {
        let changed = request.changed(from, to);
        assert_ne!(changed.text, request.text, "{from}");
        assert!(judge.verify_webhook(&changed, &keys).is_string(), "{to} was not detected");
    }
}

#[tokio::test]
async fn response_of_the_receiver_decides_about_the_retry() {
    let again = |after: Option<u64>| Finality::Again { after: after.map(Duration::from_secs) };
    for (status, headers, reason, finality) in [
        ("500 Broken", "", "answered 500", again(None)),
        ("503 Busy", "retry-after: 120\r\n", "answered 503", again(Some(120))),
        ("429 Slow down", "retry-after: Wed, 08 Apr 2026 12:01:00 GMT\r\n", "answered 429", again(Some(60))),
        ("503 Busy", "retry-after: soon\r\n", "answered 503", again(None)),
        ("400 No", "", "answered 400", again(None)),
        ("404 No", "", "answered 404", again(None)),
        ("410 Gone", "retry-after: 120\r\n", "answered 410", Finality::Gone),
        ("301 Moved", "location: http://127.0.0.1:1/\r\n", "redirect 301", again(None)),
        ("307 Moved", "location: http://169.254.169.254/\r\n", "redirect 307", again(None)),
        ("304 Known", "", "redirect 304", again(None)),
    ] {
        let server = Server::start(move |visit: Visit| answer(visit, status, headers, String::new())).await;
        let outcome = fixture(&server.url()).send().await;
        assert_eq!(outcome, Err(SendError { reason: reason.to_owned(), finality }), "{status} {headers}");
        assert_eq!(server.requests().len(), 1, "{status}: one attempt is one call");
    }
}

#[tokio::test]
async fn hanging_or_dripping_receiver_ends_at_the_deadline() {
    let drip = async |mut visit: Visit| {
        let _ = visit.send("HTTP/1.1 200 OK\r\nx-slow: ").await;
        while visit.send("a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for server in [Server::start(Visit::hang).await, Server::start(drip).await] {
        let (fixture, watch) = (fixture(&server.url()), Stopwatch::start());
        let outcome = fixture.sender.send(&ctx(Duration::from_secs(1)), &event()).await;
        assert_eq!(failed(outcome), "timeout");
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn long_or_broken_body_does_not_change_the_result() {
    let endless = async |mut visit: Visit| {
        let _ = visit.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
        let piece = "x".repeat(64 * 1024);
        while visit.send(&piece).await.is_ok() {}
    };
    let chunked = async |mut visit: Visit| {
        let _ = visit.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let piece = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
        while visit.send(&piece).await.is_ok() {}
    };
    let cut = async |mut visit: Visit| {
        let _ = visit.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    };
    let servers = [Server::start(endless).await, Server::start(chunked).await, Server::start(cut).await];
    for server in servers {
        assert_eq!(fixture(&server.url()).send().await, Ok(Receipt::Accepted));
    }
    let stalled = async |mut visit: Visit| {
        let _ = visit.send("HTTP/1.1 500 Broken\r\ncontent-length: 10\r\n\r\nhalf").await;
        visit.hang().await;
    };
    let server = Server::start(stalled).await;
    let outcome = fixture(&server.url()).sender.send(&ctx(Duration::from_secs(1)), &event()).await;
    assert_eq!(failed(outcome), "answered 500");
}

#[tokio::test]
async fn empty_webhook_is_never_sent() {
    let server = Server::start(async |visit: Visit| visit.answer("200 OK", "", "").await).await;
    let fixture = fixture(&server.url());
    let content = Content::Webhook { platform: PlatformId(PLATFORM.to_owned()), document: String::new() };
    let refused = fixture.sender.send(&ctx(AMPLE), &OutboxMessage { content, ..event() }).await;
    assert_eq!(refused, Err(SendError { reason: "empty".to_owned(), finality: Finality::Refused }));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn unreachable_receiver_is_retried() {
    let reset = Server::start(async |visit: Visit| visit.reset()).await;
    assert_eq!(failed(fixture(&reset.url()).send().await), "broken");
    let nonsense = Server::start(async |mut visit: Visit| drop(visit.send("SSH-2.0-OpenSSH_9.6\r\n").await)).await;
    assert_eq!(failed(fixture(&nonsense.url()).send().await), "broken");
    let closed = { Server::start(Visit::hang).await.url() };
    assert_eq!(failed(fixture(&closed).send().await), "unreachable");
    let plain = Server::start(Visit::hang).await;
    assert_eq!(failed(fixture(&plain.url().replace("http:", "https:")).send().await), "unreachable");
}

/// A store that always fails.
struct Broken;

impl PlatformStore for Broken {
    fn find(&self, _: &RequestContext, _: &PlatformId) -> PortFuture<Option<PinnedPlatform>, Fault> {
        Box::pin(async { Err(Fault::new(FaultKind::Unavailable, "platform.find")) })
    }
    fn pin(&self, _: &RequestContext, _: PinnedPlatform) -> PortFuture<(), Fault> {
        unreachable!()
    }
    fn list(&self, _: &RequestContext, _: Option<Cursor>, _: Limit) -> PortFuture<Page<PinnedPlatform>, Fault> {
        unreachable!()
    }
    fn remove(&self, _: &RequestContext, _: &PlatformId) -> PortFuture<bool, Fault> {
        unreachable!()
    }
}

#[tokio::test]
async fn local_failure_does_not_count_against_the_receiver() {
    let server = Server::start(async |visit: Visit| visit.answer("200 OK", "", "").await).await;
    let pinned = || Arc::new(Platforms::with(&PlatformId(PLATFORM.to_owned()), &profile(&server.url())));
    let (up, down) = (Keys::default(), Keys::default());
    *down.is_down.lock().expect("sound") = true;
    let bulkheads = BulkheadLimits { concurrency: 0, waiting: 0, ..BulkheadLimits::default() };
    let full = Outbound::new(OutboundConfig { bulkheads, ..config() }).expect("a client");
    let stores: [Arc<dyn PlatformStore>; 3] = [Arc::new(Broken), pinned(), pinned()];
    let fixtures = [
        (up.clone(), outbound(), Finality::LocalFault),
        (down, outbound(), Finality::LocalFault),
        (up, full, Finality::NoPermit),
    ];
    for (platforms, (keys, outbound, finality)) in stores.into_iter().zip(fixtures) {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::at(NOON));
        let signer = Arc::new(Signer::new(Arc::new(keys), clock.clone()));
        let profiles = Arc::new(PlatformProfiles::new(platforms, outbound.clone(), clock.clone()));
        let sender = WebhookSender::new(outbound, profiles, signer, clock, &Url::parse(SHOP).expect("a url"));
        let sender = sender.expect("a profile");
        let failure = sender.send(&ctx(AMPLE), &event()).await.expect_err("not sent");
        assert_eq!(failure.finality, finality, "{}", failure.reason);
    }
    assert_eq!(server.requests().len(), 0);
    let late = fixture(&server.url()).sender.send(&ctx(Duration::ZERO), &event()).await.expect_err("not sent");
    assert_eq!(late, SendError::local("no time left"));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn platform_without_webhook_address_gets_no_webhook() {
    let server = Server::start(Visit::hang).await;
    let silent = json!({"ucp": {"version": "2026-04-08", "capabilities": {}}}).to_string();
    assert_eq!(fixture_with(&silent, outbound()).send().await, Ok(Receipt::Unwanted));
    let silent = json!({"ucp": {"version": "2026-04-08", "capabilities":
        {"dev.ucp.shopping.order": [{"version": "2026-04-08"}]}}});
    assert_eq!(fixture_with(&silent.to_string(), outbound()).send().await, Ok(Receipt::Unwanted));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn private_address_is_retried_and_other_scheme_is_refused() {
    let private: Vec<IpAddr> = vec!["93.184.215.14".parse().expect("ip"), "10.0.0.7".parse().expect("ip")];
    let names = Names(move |_| Ok(private.clone()), Mutex::default());
    let rebound = Outbound::new(OutboundConfig { lookup: Arc::new(names), ..config() }).expect("a client");
    let outcome = fixture_with(&profile("https://rebound.example/hook"), rebound).send().await;
    assert_eq!(failed(outcome), "blocked_address");
    for hook in ["https://10.0.0.7/hook", "https://[::ffff:127.0.0.1]/hook", "https://0x7f000002.1/"] {
        let outcome = fixture(hook).send().await;
        assert!(outcome.is_err(), "{hook}");
    }
    assert_eq!(failed(fixture("https://169.254.169.254/latest/meta-data").send().await), "blocked_address");
    for (hook, reason) in [
        ("http://platform.example/hook", "blocked_scheme"),
        ("https://user:word@platform.example/hook", "blocked_userinfo"),
        ("https://platform.example./hook", "blocked_host"),
    ] {
        let failure = fixture(hook).send().await.expect_err("refused");
        assert_eq!(failure, SendError { reason: reason.to_owned(), finality: Finality::Refused }, "{hook}");
    }
}

#[tokio::test]
async fn unreadable_profile_is_retried() {
    let outcome = fixture_with("{}", outbound()).send().await;
    assert_eq!(failed(outcome), "profile: malformed: ucp is missing");
    let fixture = fixture("https://platform.example/");
    let down = Server::start(async |visit: Visit| visit.answer("500 Broken", "", "").await).await;
    for (platform, reason) in [(down.url(), Some("profile: answered 500")), ("ftp://platform.example".into(), None)] {
        let content = Content::Webhook { platform: PlatformId(platform), document: DOCUMENT.to_owned() };
        let outcome = fixture.sender.send(&ctx(AMPLE), &outbox_message(content)).await;
        match reason {
            Some(reason) => assert_eq!(failed(outcome), reason),
            None => assert_eq!(outcome.expect_err("no").finality, Finality::Refused),
        }
    }
}

#[tokio::test]
async fn cancellation_ends_the_webhook_and_logs_no_secret() {
    let lines = Lines::default();
    let ctx = ctx_with(&lines, AMPLE);
    let cancellation = ctx.cancellation().clone();
    // The call is cancelled when the receiver has the webhook, as if the process were stopping.
    let server = Server::start(move |visit: Visit| {
        cancellation.cancel();
        visit.hang()
    });
    let server = server.await;
    let outcome = fixture(&server.url()).sender.send(&ctx, &event()).await;
    assert_eq!(outcome, Err(SendError::local("cancelled")));
    let logged = lines.all().join("\n");
    assert!(logged.contains("op=webhook.send"), "{logged}");
    assert!(!logged.contains("hidden") && !logged.contains("PRIVATE"), "{logged}");
}
