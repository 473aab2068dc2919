//! A fake of the outbox store and of a sender.

use std::sync::Mutex;

use domain::PortFuture;
use domain::clock::Timestamp;
use domain::context::{PlatformId, RequestContext};
use domain::fault::Fault;
use domain::order::OrderId;
use domain::outbox::{
    Channel, ClaimTerms, Claimed, Content, EmailMessage, Endpoint, EndpointHealth, EndpointSummary, Finality,
    MessageFilter, MessageSummary, OutboxMessage, OutboxMessageId, OutboxStore, Purged, Receipt, Recorded, Selection,
    SendError, SendOutcome, Sender,
};
use domain::page::{Cursor, Limit, Page};

use super::NOW;
use super::ports::{ready, unexpected};

/// A store and a sender that return scripted results and record what they are given.
pub struct FakeOutbox {
    pub claimed: Claimed,
    pub sent: Result<Receipt, Finality>,
    pub recorded: Recorded,
    pub purged: Purged,
    pub claims: Mutex<Vec<(Channel, ClaimTerms)>>,
    /// The time that each attempt was given, in whole seconds, rounded up.
    pub attempts: Mutex<Vec<u64>>,
    pub outcomes: Mutex<Vec<SendOutcome>>,
    pub purges: Mutex<Vec<(Timestamp, Timestamp)>>,
}

impl FakeOutbox {
    /// A fake that returns `message` from each claim, `sent` from each attempt, and `recorded` from each record.
    pub fn new(message: OutboxMessage, sent: Result<Receipt, Finality>, recorded: Recorded) -> Self {
        Self {
            claimed: Claimed { message: Some(message), given_up: Vec::new() },
            sent,
            recorded,
            purged: Purged::default(),
            claims: Mutex::default(),
            attempts: Mutex::default(),
            outcomes: Mutex::default(),
            purges: Mutex::default(),
        }
    }
}

impl OutboxStore for FakeOutbox {
    fn claim(&self, _: &RequestContext, channel: Channel, terms: ClaimTerms) -> PortFuture<Claimed, Fault> {
        self.claims.lock().expect("not poisoned").push((channel, terms));
        ready(Ok(self.claimed.clone()))
    }
    fn record(
        &self,
        _: &RequestContext,
        _: &OutboxMessage,
        outcome: SendOutcome,
        _: Timestamp,
    ) -> PortFuture<Recorded, Fault> {
        self.outcomes.lock().expect("not poisoned").push(outcome);
        ready(Ok(self.recorded.clone()))
    }
    fn list(
        &self,
        _: &RequestContext,
        _: MessageFilter,
        _: Option<Cursor>,
        _: Limit,
    ) -> PortFuture<Page<MessageSummary>, Fault> {
        unexpected()
    }
    fn endpoint(&self, _: &RequestContext, _: Endpoint) -> PortFuture<Option<EndpointSummary>, Fault> {
        unexpected()
    }
    fn endpoints(&self, _: &RequestContext, _: Option<Cursor>, _: Limit) -> PortFuture<Page<EndpointSummary>, Fault> {
        unexpected()
    }
    fn retry(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        unexpected()
    }
    fn give_up(&self, _: &RequestContext, _: Selection, _: Timestamp, _: u32) -> PortFuture<u32, Fault> {
        unexpected()
    }
    fn forget(&self, _: &RequestContext, ended: Timestamp, dead: Timestamp, _: u32) -> PortFuture<Purged, Fault> {
        self.purges.lock().expect("not poisoned").push((ended, dead));
        ready(Ok(self.purged.clone()))
    }
}

impl Sender for FakeOutbox {
    fn send(&self, ctx: &RequestContext, _: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        self.attempts.lock().expect("not poisoned").push(ctx.deadline().remaining().as_secs() + 1);
        ready(self.sent.map_err(|finality| SendError { reason: "500".to_owned(), finality }))
    }
}

/// A message to a proven endpoint, claimed for attempt number `attempts`.
pub fn message(channel: Channel, attempts: u32) -> OutboxMessage {
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
        failures_before: 0,
        claims: attempts,
        caused_by: None,
    }
}
