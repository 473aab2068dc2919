//! Passes of the outbox tasks: the calls of the store and the sender, the log lines, and when the next pass runs.

use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::context::RequestContext;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, DispatchLimits, Endpoint, EndpointHealth, Finality, MessageState, MessageSummary,
    OutboxDispatcher, OutboxMessage, OutboxPurge, Purged, Receipt, Recorded, SendError, SendOutcome, Sender,
    StaleClaim,
};
use domain::task::{BackgroundTask, Progress};
use time::macros::datetime;

use crate::kit::{FakeOutbox, FakePorts, Lines, NOW, message, task_context};

const LIMITS: DispatchLimits = DispatchLimits { send: Duration::from_secs(10), per_endpoint: 4, at_once: 8 };
const AGAIN: Finality = Finality::Again { after: None };

fn dispatcher(channel: Channel, ports: &Arc<FakeOutbox>) -> OutboxDispatcher {
    OutboxDispatcher::new(channel, ports.clone(), ports.clone(), Arc::new(FakePorts::default()), LIMITS)
}

/// Runs one pass. Returns the progress of the pass, and the message and the field `result` of each log line.
async fn pass(task: &dyn BackgroundTask) -> (Progress, Vec<String>) {
    let lines = Lines::default();
    let progress = task.pass(&task_context(&lines, Duration::from_secs(60))).await.expect("a pass");
    (progress, lines.all().iter().map(|line| format!("{}: {}", line.message, line.field("result"))).collect())
}

fn ports(channel: Channel, sent: Result<Receipt, Finality>, recorded: Recorded) -> FakeOutbox {
    FakeOutbox::new(message(channel, 1), sent, recorded)
}

#[tokio::test]
async fn claim_has_the_terms_of_its_permit_and_its_limits() {
    for (channel, task) in [(Channel::Webhook, "webhook_delivery"), (Channel::Mail, "mail_delivery")] {
        let ports = Arc::new(ports(channel, Ok(Receipt::Accepted), Recorded::Ended(MessageState::Delivered)));
        let dispatcher = dispatcher(channel, &ports);
        assert_eq!(dispatcher.name(), task);
        for _ in 0..2 {
            pass(&dispatcher).await;
        }
        let claims = ports.claims.lock().expect("not poisoned");
        assert_eq!(claims.len(), 2);
        for (asked, terms) in claims.iter() {
            assert_eq!((*asked, terms.now, terms.per_endpoint), (channel, NOW, 4));
            // The lease covers the time to send, the time to record, and a margin.
            assert!(terms.lease > LIMITS.send + Duration::from_secs(10), "{:?}", terms.lease);
            assert!(terms.lease < LIMITS.send + Duration::from_secs(60), "{:?}", terms.lease);
            assert_eq!(terms.reach, EndpointHealth::Failing);
        }
    }
}

#[test]
fn claims_join_if_only_their_times_differ() {
    let terms = ClaimTerms { now: NOW, lease: LIMITS.send, per_endpoint: 4, reach: EndpointHealth::New };
    assert!(terms.joins(&ClaimTerms { now: NOW + LIMITS.send, ..terms }));
    for other in [
        ClaimTerms { lease: LIMITS.send * 2, ..terms },
        ClaimTerms { per_endpoint: 5, ..terms },
        ClaimTerms { reach: EndpointHealth::Proven, ..terms },
    ] {
        assert!(!terms.joins(&other), "{other:?}");
    }
}

/// A sender whose attempts do not end.
struct Hanging;

impl Sender for Hanging {
    fn send(&self, _: &RequestContext, _: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn webhook_passes_share_permits_and_email_passes_do_not() {
    for (channel, reach) in [(Channel::Webhook, EndpointHealth::New), (Channel::Mail, EndpointHealth::Failing)] {
        let failing = OutboxMessage { health: EndpointHealth::Failing, ..message(channel, 1) };
        let ports = Arc::new(FakeOutbox::new(failing, Ok(Receipt::Accepted), Recorded::Again(NOW)));
        // A quarter of four passes may serve failing endpoints.
        let limits = DispatchLimits { at_once: 4, ..LIMITS };
        let clock = Arc::new(FakePorts::default());
        let dispatcher = OutboxDispatcher::new(channel, ports.clone(), Arc::new(Hanging), clock, limits);
        let ctx = task_context(&Lines::default(), Duration::from_secs(60));
        let (mut first, mut second) = (dispatcher.pass(&ctx), dispatcher.pass(&ctx));
        tokio::select! {
            biased;
            _ = &mut first => panic!("the attempt ended"),
            _ = &mut second => panic!("the attempt ended"),
            () = std::future::ready(()) => {}
        }
        let claims = ports.claims.lock().expect("not poisoned");
        let reached: Vec<_> = claims.iter().map(|(_, terms)| terms.reach).collect();
        assert_eq!(reached, [EndpointHealth::Failing, reach], "{channel:?}");
    }
}

#[tokio::test]
async fn first_attempt_at_an_unproven_endpoint_is_short() {
    for (health, attempts, seconds) in [
        (EndpointHealth::Proven, 1, 10),
        (EndpointHealth::New, 1, 2),
        (EndpointHealth::Failing, 1, 2),
        (EndpointHealth::New, 2, 10),
        (EndpointHealth::Failing, 2, 10),
    ] {
        for (channel, send, expected) in
            [(Channel::Webhook, 10, seconds), (Channel::Webhook, 1, 1), (Channel::Mail, 10, 10)]
        {
            let message = OutboxMessage { health, ..message(channel, attempts) };
            let ports = Arc::new(FakeOutbox::new(message, Ok(Receipt::Accepted), Recorded::Again(NOW)));
            let limits = DispatchLimits { send: Duration::from_secs(send), ..LIMITS };
            let clock = Arc::new(FakePorts::default());
            pass(&OutboxDispatcher::new(channel, ports.clone(), ports.clone(), clock, limits)).await;
            assert_eq!(*ports.attempts.lock().expect("not poisoned"), [expected], "{channel:?} {health:?} {attempts}");
        }
    }
}

#[tokio::test]
async fn next_pass_runs_at_once_unless_nothing_is_due_or_the_fault_is_local() {
    for (sent, expected) in [
        (Ok(Receipt::Accepted), Progress::More(1)),
        (Ok(Receipt::Unwanted), Progress::More(1)),
        (Err(AGAIN), Progress::More(1)),
        (Err(Finality::Refused), Progress::More(1)),
        (Err(Finality::Gone), Progress::More(1)),
        // Only one server has no permit left. The next message may go to another server.
        (Err(Finality::NoPermit), Progress::More(1)),
        // A local fault would also affect the next message.
        (Err(Finality::LocalFault), Progress::Done(1)),
    ] {
        let due = ports(Channel::Webhook, sent, Recorded::Again(NOW));
        let idle = FakeOutbox { claimed: Claimed::default(), ..ports(Channel::Webhook, sent, Recorded::Again(NOW)) };
        for (ports, expected) in [(due, expected), (idle, Progress::Idle)] {
            let (progress, _) = pass(&dispatcher(Channel::Webhook, &Arc::new(ports))).await;
            assert_eq!(progress, expected, "{sent:?}");
        }
    }
}

#[tokio::test]
async fn attempt_interrupted_by_shutdown_is_no_failure_of_the_endpoint() {
    for is_cancelled in [true, false] {
        let ports = Arc::new(ports(Channel::Webhook, Err(AGAIN), Recorded::Again(NOW)));
        let ctx = task_context(&Lines::default(), Duration::from_secs(60));
        if is_cancelled {
            ctx.cancellation().cancel();
        }
        dispatcher(Channel::Webhook, &ports).pass(&ctx).await.expect("a pass");
        let outcomes = ports.outcomes.lock().expect("not poisoned");
        assert_eq!(*outcomes == [SendOutcome::Interrupted], is_cancelled, "{outcomes:?}");
    }
}

#[tokio::test]
async fn each_result_of_an_attempt_is_logged() {
    for (sent, recorded, expected) in [
        (Ok(Receipt::Accepted), Recorded::Ended(MessageState::Delivered), vec!["message sent: delivered"]),
        (Ok(Receipt::Unwanted), Recorded::Ended(MessageState::Unwanted), vec!["message sent: unwanted"]),
        (Err(AGAIN), Recorded::Ended(MessageState::Dead), vec!["message given up: dead"]),
        (Err(AGAIN), Recorded::Again(NOW), vec!["message not sent: retry"]),
        (Err(Finality::LocalFault), Recorded::Again(NOW), vec!["message not sent: own_fault"]),
        (Err(Finality::NoPermit), Recorded::Again(NOW), vec!["message not sent: own_fault"]),
        (
            Err(Finality::Gone),
            Recorded::Disabled { others: 2 },
            vec!["message given up: dead", "destination disabled: disabled"],
        ),
        (
            Err(AGAIN),
            Recorded::Stale(StaleClaim::Reclaimed),
            vec!["lease lost: another worker has the message: lease_lost"],
        ),
    ] {
        let ports = Arc::new(ports(Channel::Webhook, sent, recorded));
        let (_, lines) = pass(&dispatcher(Channel::Webhook, &ports)).await;
        assert_eq!(lines, expected);
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
    let claimed = Claimed { message: None, given_up: vec![given_up] };
    let ports = FakeOutbox { claimed, ..ports(Channel::Webhook, Ok(Receipt::Accepted), Recorded::Again(NOW)) };
    let (_, lines) = pass(&dispatcher(Channel::Webhook, &Arc::new(ports))).await;
    assert_eq!(lines, ["message given up: dead"]);
}

#[tokio::test]
async fn purge_keeps_ended_messages_for_a_week_and_dead_letters_for_ninety_days() {
    let to = Endpoint("webhook:https://p.example/".to_owned());
    for (forgotten, given_up, expected) in [
        (0, vec![], Progress::Idle),
        (3, vec![(to.clone(), 2), (to.clone(), 4)], Progress::Done(9)),
        (499, vec![(to.clone(), 1)], Progress::More(500)),
    ] {
        let endpoints = given_up.len();
        let purged = Purged { forgotten, given_up };
        let ports = FakeOutbox { purged, ..ports(Channel::Webhook, Ok(Receipt::Accepted), Recorded::Again(NOW)) };
        let ports = Arc::new(ports);
        let purge = OutboxPurge { store: ports.clone(), clock: Arc::new(FakePorts::default()) };
        assert_eq!(purge.name(), "delivery_purge");
        let (progress, lines) = pass(&purge).await;
        assert_eq!((progress, lines.len()), (expected, endpoints));
        let purges = ports.purges.lock().expect("not poisoned");
        assert_eq!(*purges, [(datetime!(2026-11-15 12:00 UTC), datetime!(2026-08-24 12:00 UTC))]);
    }
}
