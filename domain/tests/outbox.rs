//! One pass of the outbox dispatcher, and when the next pass runs.

use std::sync::Arc;
use std::time::Duration;

use domain::PortFuture;
use domain::clock::{Clock, Timestamp};
use domain::context::{Deadline, PlatformId, RequestContext, TraceContext};
use domain::fault::Fault;
use domain::order::OrderId;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, Content, DispatchLimits, Endpoint, EndpointHealth, EndpointSummary, Finality,
    MessageFilter, MessageState, MessageSummary, OutboxDispatcher, OutboxMessage, OutboxMessageId, OutboxStore, Purged,
    Receipt, Recorded, Selection, SendError, SendOutcome, Sender,
};
use domain::task::{BackgroundTask, Progress};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = datetime!(2026-11-22 12:00 UTC);

/// A store with at most one message, and the sender to its endpoint.
#[derive(Clone)]
struct World {
    is_due: bool,
    answer: Result<Receipt, Finality>,
}

fn never<T: Send + 'static>() -> PortFuture<T, Fault> {
    Box::pin(async { Err(Fault::internal("test.port", "not asked for here")) })
}

impl OutboxStore for World {
    fn claim(&self, _: &RequestContext, _: Channel, _: ClaimTerms) -> PortFuture<Claimed, Fault> {
        let message = self.is_due.then(|| OutboxMessage {
            id: OutboxMessageId::generate(NOW),
            order: OrderId::generate(NOW),
            event: "order_placed".to_owned(),
            occurred_at: NOW,
            content: Content::Webhook {
                platform: PlatformId("https://platform.example/".to_owned()),
                document: "{}".to_owned(),
            },
            attempts: 1,
            health: EndpointHealth::New,
            claims: 1,
            caused_by: None,
        });
        Box::pin(async move { Ok(Claimed { message, given_up: Vec::new() }) })
    }
    fn record(
        &self,
        _: &RequestContext,
        _: &OutboxMessage,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        let recorded = match outcome {
            SendOutcome::Received(_) => Recorded::Ended(MessageState::Delivered),
            SendOutcome::Failed(_) | SendOutcome::Interrupted => Recorded::Again(now),
        };
        Box::pin(async move { Ok(recorded) })
    }
    fn list(&self, _: &RequestContext, _: MessageFilter, _: u32) -> PortFuture<Vec<MessageSummary>, Fault> {
        never()
    }
    fn endpoints(&self, _: &RequestContext, _: Option<Endpoint>, _: u32) -> PortFuture<Vec<EndpointSummary>, Fault> {
        never()
    }
    fn retry(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
    fn give_up(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        never()
    }
    fn forget(&self, _: &RequestContext, _: Timestamp, _: Timestamp, _: u32) -> PortFuture<Purged, Fault> {
        never()
    }
}

impl Sender for World {
    fn send(&self, _: &RequestContext, _: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        let answer = self.answer.map_err(|finality| SendError { reason: "as scripted".to_owned(), finality });
        Box::pin(async move { answer })
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn pause(&self, _: &RequestContext, _: Duration) -> PortFuture<(), Fault> {
        never()
    }
}

#[tokio::test]
async fn next_pass_runs_at_once_unless_nothing_is_due_or_the_fault_is_local() {
    let limits = DispatchLimits { send: Duration::from_secs(10), per_endpoint: 4, at_once: 8 };
    let (log, deadline) = (slog::Logger::root(slog::Discard, slog::o!()), Deadline::after(Duration::from_secs(60)));
    let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new());
    for (is_due, answer, expected) in [
        (false, Ok(Receipt::Accepted), Progress::Idle),
        (true, Ok(Receipt::Accepted), Progress::More(1)),
        (true, Ok(Receipt::Unwanted), Progress::More(1)),
        (true, Err(Finality::Again { after: None }), Progress::More(1)),
        (true, Err(Finality::Refused), Progress::More(1)),
        (true, Err(Finality::Gone), Progress::More(1)),
        // Only for one server: others may have permits left.
        (true, Err(Finality::NoPermit), Progress::More(1)),
        // The next message would fail too.
        (true, Err(Finality::LocalFault), Progress::Done(1)),
    ] {
        let world = Arc::new(World { is_due, answer });
        let deliver = OutboxDispatcher::new(Channel::Webhook, world.clone(), world.clone(), world, limits);
        assert_eq!(deliver.pass(&ctx).await.expect("a pass"), expected, "{answer:?}");
    }
}
