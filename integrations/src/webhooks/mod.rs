//! Sends webhooks about orders to platforms: one signed POST for each attempt.
//!
//! The body is the document that was stored with the change of the order, byte for byte. The headers that identify the
//! event are the same for every attempt (Standard Webhooks: `Webhook-Id`, `Webhook-Timestamp`), but each attempt has a
//! new signature. The protocol requires an `Idempotency-Key` on every signed POST, so the id of the event is sent under
//! that name too. Every value that a receiver may act on is signed, so that an old snapshot of an order cannot be
//! replayed as a new event.
//!
//! Nothing is repeated here, because the outbox schedules the retries.

mod answer;

use std::sync::Arc;

use domain::PortFuture;
use domain::clock::Clock;
use domain::context::RequestContext;
use domain::outbox::{Content, Finality, OutboxMessage, Receipt, SendError, Sender};
use sfv::{DictSerializer, KeyRef, StringRef};
use url::Url;

use crate::outbound::{Blocked, Call, Destination, Limits, Outbound, Reason};
use crate::platform_profile::{PlatformProfiles, ProfileError};
use crate::signatures::{SignedRequest, Signer, content_digest};

const JSON: &str = "application/json";

#[derive(Clone)]
pub struct WebhookSender(Arc<Shared>);

struct Shared {
    outbound: Outbound,
    profiles: Arc<PlatformProfiles>,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
    /// The value of `UCP-Agent`, which names the shop.
    agent: String,
}

impl WebhookSender {
    /// `profile` is the address of the shop's profile, where receivers find the shop's keys.
    pub fn new(
        outbound: Outbound,
        profiles: Arc<PlatformProfiles>,
        signer: Arc<Signer>,
        clock: Arc<dyn Clock>,
        profile: &Url,
    ) -> Result<Self, NotAnAgent> {
        Ok(Self(Arc::new(Shared { outbound, profiles, signer, clock, agent: agent(profile)? })))
    }
}

impl Sender for WebhookSender {
    fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        let (this, ctx, message) = (Arc::clone(&self.0), ctx.clone(), message.clone());
        Box::pin(async move { this.send(&ctx, &message).await })
    }
}

impl Shared {
    async fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> Result<Receipt, SendError> {
        let Content::Webhook { platform, document } = &message.content else {
            return Err(refused("not a webhook"));
        };
        if document.is_empty() {
            return Err(refused("empty"));
        }
        let Some(url) = self.profiles.webhook_url(ctx, platform).await.map_err(without_profile)? else {
            return Ok(Receipt::Unwanted);
        };
        let to = self.outbound.untrusted(url.as_str()).map_err(|blocked| blocked_for(blocked, ""))?;
        let to = to.in_bulkhead(message.content.endpoint().0);
        let call = self.signed_call(ctx, message, to, document).await?;
        if ctx.deadline().remaining().is_zero() {
            return Err(SendError::local("no time left"));
        }
        match self.outbound.send(ctx, call).await {
            Ok(reply) => answer::outcome(&reply, self.clock.now()),
            Err(error) => Err(match error.reason {
                Reason::Blocked(blocked) => blocked_for(blocked, ""),
                Reason::Deadline => SendError::again("timeout"),
                // A retry cannot succeed, because it would send the same invalid header.
                Reason::BadRequest => refused(Reason::BadRequest.as_str()),
                Reason::Busy => SendError::no_permit(Reason::Busy.as_str()),
                Reason::Cancelled => SendError::local(Reason::Cancelled.as_str()),
                reason @ (Reason::Unreachable | Reason::Broken | Reason::Unreadable | Reason::TooLarge) => {
                    SendError::again(reason.as_str())
                }
            }),
        }
    }

    async fn signed_call(
        &self,
        ctx: &RequestContext,
        message: &OutboxMessage,
        to: Destination,
        document: &str,
    ) -> Result<Call, SendError> {
        let digest = content_digest(document.as_bytes());
        let occurred_at = message.occurred_at.unix_timestamp().to_string();
        let fields = [
            ("ucp-agent", self.agent.as_str()),
            ("idempotency-key", message.id.as_str()),
            ("webhook-id", message.id.as_str()),
            ("webhook-timestamp", occurred_at.as_str()),
            ("x-event-type", message.event.as_str()),
            ("content-digest", digest.as_str()),
            ("content-type", JSON),
        ];
        let request = SignedRequest { method: "POST", url: to.url(), fields: &fields };
        let signed = self.signer.sign(ctx, request).await?;
        let call = Call::post("webhook.send", to, Limits::WEBHOOK).body(JSON, document.to_owned());
        let call = fields.iter().fold(call, |call, (name, value)| call.header(name, value));
        Ok(call.header("signature-input", &signed.input).header("signature", &signed.signature))
    }
}

/// The value of `UCP-Agent`: a dictionary with the member `profile` (RFC 8941, section 3.2).
fn agent(profile: &Url) -> Result<String, NotAnAgent> {
    let mut field = DictSerializer::new();
    field.bare_item(KeyRef::constant("profile"), StringRef::from_str(profile.as_str()).map_err(|_| NotAnAgent)?);
    field.finish().ok_or(NotAnAgent)
}

/// The address of the shop's profile cannot be sent in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of the shop's profile cannot be sent in a header")]
pub struct NotAnAgent;

fn without_profile(error: ProfileError) -> SendError {
    match error {
        ProfileError::Blocked(blocked) => blocked_for(blocked, "profile: "),
        ProfileError::NotFetched(_) => SendError::local(format!("profile: {error}")),
        ProfileError::Busy => SendError::no_permit("profile: busy"),
        ProfileError::Timeout | ProfileError::Unusable(_) => SendError::again(format!("profile: {error}")),
    }
}

/// Returns the error for a blocked URL. An address that is not public is retried, because the name or the profile may
/// be corrected. Any other blocked URL is refused, because it stays wrong.
fn blocked_for(blocked: Blocked, prefix: &str) -> SendError {
    let reason = format!("{prefix}{}", blocked.into_str());
    match blocked {
        Blocked::Address(_) => SendError::again(reason),
        Blocked::Malformed | Blocked::Scheme | Blocked::UserInfo | Blocked::Host => refused(reason),
    }
}

fn refused(reason: impl Into<String>) -> SendError {
    SendError { reason: reason.into(), finality: Finality::Refused }
}

#[cfg(test)]
mod tests;
