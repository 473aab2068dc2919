//! Passes of the outbox tasks: the calls of the store and the sender, the log lines, and when the next pass runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::PortFuture;
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, PlatformId, RequestContext, TraceContext};
use domain::fault::Fault;
use domain::order::OrderId;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, Content, DispatchLimits, EmailMessage, Endpoint, EndpointHealth, EndpointSummary,
    FailureStreak, Finality, MessageFilter, MessageState, MessageSummary, OutboxDispatcher, OutboxMessage,
    OutboxMessageId, OutboxPurge, OutboxStore, Purged, Receipt, Recorded, Selection, SendError, SendOutcome, Sender,
    StaleClaim, Step, step,
};
use domain::page::{Cursor, Limit, Page};
use domain::task::{BackgroundTask, Progress};
use slog::{Drain, KV};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);
const LIMITS: DispatchLimits = DispatchLimits { send: Duration::from_secs(10), per_endpoint: 4, at_once: 8 };

fn message(channel: Channel, attempts: u32) -> OutboxMessage {
    let content = match channel {
        Channel::Webhook => {
            Content::Webhook { platform: PlatformId("https://p.example/".into()), document: "{}".into() }
        }
        Channel::Mail => Content::Mail(EmailMessage {
            to: "ada@example.com".into(),
            subject: "Your order".into(),
            text: String::new(),
            html: String::new(),
        }),
    };
    OutboxMessage {
        id: OutboxMessageId::generate(NOW),
        order: OrderId::generate(NOW),
        event: "order_placed".to_owned(),
        occurred_at: NOW,
        content,
        attempts,
        health: EndpointHealth::Proven,
        claims: attempts,
        caused_by: None,
    }
}

/// A store and a sender that return scripted results and record their calls.
#[derive(Clone)]
struct Script {
    claimed: Claimed,
    answer: Result<Receipt, SendError>,
    recorded: Recorded,
    purged: Purged,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    claims: Vec<(Channel, ClaimTerms)>,
    outcomes: Vec<SendOutcome>,
    purges: Vec<(Timestamp, Timestamp)>,
    lines: Vec<String>,
}

fn never<T: Send + 'static>() -> PortFuture<T, Fault> {
    Box::pin(async { Err(Fault::internal("test.port", "not asked for here")) })
}

impl OutboxStore for Script {
    fn claim(&self, _: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault> {
        self.seen.lock().expect("sound").claims.push((channel, terms));
        let claimed = self.claimed.clone();
        Box::pin(async move { Ok(claimed) })
    }
    fn record(
        &self,
        _: &RequestContext,
        _: &OutboxMessage,
        outcome: SendOutcome,
        _: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        self.seen.lock().expect("sound").outcomes.push(outcome);
        let recorded = self.recorded.clone();
        Box::pin(async move { Ok(recorded) })
    }
    fn list(
        &self,
        _: &RequestContext,
        _: MessageFilter,
        _: Option<Cursor>,
        _: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault> {
        never()
    }
    fn endpoint(&self, _: &RequestContext, _: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault> {
        never()
    }
    fn endpoints(&self, _: &RequestContext, _: Option<Cursor>, _: Limit) -> PortFuture<Page<EndpointSummary>, Fault> {
        never()
    }
    fn retry(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
    fn give_up(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
    fn forget(&self, _: &RequestContext, ended: Timestamp, dead: Timestamp, _: u32) -> PortFuture<Purged, Fault> {
        self.seen.lock().expect("sound").purges.push((ended, dead));
        let purged = self.purged.clone();
        Box::pin(async move { Ok(purged) })
    }
}

impl Sender for Script {
    fn send(&self, _: &RequestContext, _: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        let answer = self.answer.clone();
        Box::pin(async move { answer })
    }
}

impl Clock for Script {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        never()
    }
}

/// A log drain that keeps the message and the field `result` of each line.
struct Lines(Arc<Mutex<Seen>>);

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        struct Result(String);
        impl slog::Serializer for Result {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                if key == "result" {
                    self.0 = value.to_string();
                }
                Ok(())
            }
        }
        let mut result = Result(String::new());
        let _ = record.kv().serialize(record, &mut result);
        self.0.lock().expect("sound").lines.push(format!("{}: {}", record.msg(), result.0));
        Ok(())
    }
}

fn context(script: &Script, cancelled: bool) -> RequestContext {
    let log = slog::Logger::root(Lines(script.seen.clone()), slog::o!());
    let cancellation = CancellationToken::new();
    if cancelled {
        cancellation.cancel();
    }
    let deadline = Deadline::after(Duration::from_secs(60));
    RequestContext::for_task(&log, "test", TraceContext::start(), deadline, cancellation)
}

async fn pass(channel: Channel, script: &Script, cancelled: bool) -> Progress {
    let ctx = context(script, cancelled);
    let script = Arc::new(script.clone());
    let dispatcher = OutboxDispatcher::new(channel, script.clone(), script.clone(), script, LIMITS);
    dispatcher.pass(&ctx).await.expect("a pass")
}

fn script(channel: Channel, answer: Result<Receipt, Finality>, recorded: Recorded) -> Script {
    Script {
        claimed: Claimed { message: Some(message(channel, 1)), given_up: Vec::new() },
        answer: answer.map_err(|finality| SendError { reason: "500".to_owned(), finality }),
        recorded,
        purged: Purged::default(),
        seen: Arc::default(),
    }
}

#[tokio::test]
async fn claim_has_the_terms_of_its_permit_and_its_limits() {
    for (channel, task) in [(Channel::Webhook, "webhook_delivery"), (Channel::Mail, "mail_delivery")] {
        let script = script(channel, Ok(Receipt::Accepted), Recorded::Ended(MessageState::Delivered));
        let shared = Arc::new(script.clone());
        let dispatcher = OutboxDispatcher::new(channel, shared.clone(), shared.clone(), shared, LIMITS);
        assert_eq!(dispatcher.name(), task);
        for _ in 0..2 {
            pass(channel, &script, false).await;
        }
        let seen = script.seen.lock().expect("sound");
        for (asked, terms) in &seen.claims {
            assert_eq!((*asked, terms.now, terms.per_endpoint), (channel, NOW, 4));
            // The time to send, the time to record, and a margin.
            assert!(terms.lease > LIMITS.send + Duration::from_secs(10), "{:?}", terms.lease);
            assert!(terms.lease < LIMITS.send + Duration::from_secs(60), "{:?}", terms.lease);
            assert_eq!(terms.reach, EndpointHealth::Failing);
        }
    }
}

#[tokio::test]
async fn next_pass_runs_at_once_unless_nothing_is_due_or_the_fault_is_local() {
    for (answer, expected) in [
        (Ok(Receipt::Accepted), Progress::More(1)),
        (Ok(Receipt::Unwanted), Progress::More(1)),
        (Err(Finality::Again { after: None }), Progress::More(1)),
        (Err(Finality::Refused), Progress::More(1)),
        (Err(Finality::Gone), Progress::More(1)),
        // Only for one server: others may have permits left.
        (Err(Finality::NoPermit), Progress::More(1)),
        // The next message would fail too.
        (Err(Finality::LocalFault), Progress::Done(1)),
    ] {
        let script = script(Channel::Webhook, answer, Recorded::Again(NOW));
        assert_eq!(pass(Channel::Webhook, &script, false).await, expected, "{answer:?}");
        let idle = Script { claimed: Claimed::default(), ..script };
        assert_eq!(pass(Channel::Webhook, &idle, false).await, Progress::Idle);
    }
}

#[tokio::test]
async fn attempt_interrupted_by_shutdown_is_no_failure_of_the_endpoint() {
    for (cancelled, expected) in [(true, true), (false, false)] {
        let again = Err(Finality::Again { after: None });
        let script = script(Channel::Webhook, again, Recorded::Again(NOW));
        pass(Channel::Webhook, &script, cancelled).await;
        let seen = script.seen.lock().expect("sound");
        assert_eq!(seen.outcomes == [SendOutcome::Interrupted], expected, "{:?}", seen.outcomes);
    }
}

#[tokio::test]
async fn each_result_of_an_attempt_is_logged() {
    let again = || Err(Finality::Again { after: None });
    for (answer, recorded, expected) in [
        (Ok(Receipt::Accepted), Recorded::Ended(MessageState::Delivered), vec!["message handed over: delivered"]),
        (Ok(Receipt::Unwanted), Recorded::Ended(MessageState::Unwanted), vec!["message handed over: unwanted"]),
        (again(), Recorded::Ended(MessageState::Dead), vec!["message given up: dead"]),
        (again(), Recorded::Again(NOW), vec!["message not handed over: retry"]),
        (Err(Finality::LocalFault), Recorded::Again(NOW), vec!["message not handed over: own_fault"]),
        (Err(Finality::NoPermit), Recorded::Again(NOW), vec!["message not handed over: own_fault"]),
        (
            Err(Finality::Gone),
            Recorded::Disabled { others: 2 },
            vec!["message given up: dead", "destination disabled: disabled"],
        ),
        (again(), Recorded::Stale(StaleClaim::Reclaimed), vec!["lease lost: someone else delivers it: lease_lost"]),
    ] {
        let script = script(Channel::Webhook, answer, recorded);
        pass(Channel::Webhook, &script, false).await;
        assert_eq!(script.seen.lock().expect("sound").lines, expected);
    }
}

#[tokio::test]
async fn message_whose_attempts_crashed_the_process_is_logged_once() {
    let lost = message(Channel::Webhook, 11);
    let given_up = MessageSummary {
        id: lost.id,
        endpoint: lost.content.endpoint(),
        order: lost.order,
        event: lost.event,
        state: MessageState::Dead,
        attempts: 11,
        occurred_at: NOW,
        due_at: NOW,
        next: None,
        last_error: None,
    };
    let script = Script {
        claimed: Claimed { message: None, given_up: vec![given_up] },
        ..script(Channel::Webhook, Ok(Receipt::Accepted), Recorded::Again(NOW))
    };
    pass(Channel::Webhook, &script, false).await;
    assert_eq!(script.seen.lock().expect("sound").lines, ["message given up: dead"]);
}

#[tokio::test]
async fn purge_keeps_ended_messages_for_a_week_and_dead_letters_for_ninety_days() {
    let to = Endpoint("webhook:https://p.example/".to_owned());
    for (forgotten, given_up, expected) in [
        (0, vec![], Progress::Idle),
        (3, vec![(to.clone(), 2), (to.clone(), 4)], Progress::Done(9)),
        (499, vec![(to.clone(), 1)], Progress::More(500)),
    ] {
        let lines = given_up.len();
        let script = Script {
            purged: Purged { forgotten, given_up },
            ..script(Channel::Webhook, Ok(Receipt::Accepted), Recorded::Again(NOW))
        };
        let shared = Arc::new(script.clone());
        let progress = OutboxPurge::new(shared.clone(), shared).pass(&context(&script, false)).await;
        assert_eq!(progress.expect("a pass"), expected);
        let seen = script.seen.lock().expect("sound");
        assert_eq!(seen.purges, [(datetime!(2026-11-15 12:00 UTC), datetime!(2026-08-24 12:00 UTC))]);
        assert_eq!(seen.lines.len(), lines);
    }
}

#[test]
fn failure_streak_counts_its_failures() {
    let first = FailureStreak::with_failure(None, NOW);
    let third = FailureStreak::with_failure(Some(FailureStreak { failures: 2, ..first }), NOW);
    assert_eq!((first.failures, third.failures), (1, 3));
}

#[test]
fn wait_is_spread_by_a_fifth_in_both_directions() {
    let failed = SendOutcome::Failed(SendError { reason: "500".to_owned(), finality: Finality::Again { after: None } });
    let percent = |_| match step(&message(Channel::Webhook, 7), &failed, None, NOW) {
        // The seventh wait has ten hours.
        Step::Again(at) => (at - NOW).whole_seconds() / 360,
        other => panic!("{other:?}"),
    };
    let all: Vec<_> = (0..3_000).map(percent).collect();
    assert_eq!((all.iter().min(), all.iter().max()), (Some(&80), Some(&120)));
}
