//! What a response of Stripe means: an object, a refusal, or a fault whose kind states whether there was an effect.
//!
//! | response                | meaning                                                                     |
//! |-------------------------|-----------------------------------------------------------------------------|
//! | none                    | `OutcomeUnknown` if the call may have had an effect, else another fault     |
//! | 2xx                     | the object                                                                  |
//! | 400 `idempotency_error` | a bug, one key for two requests: `Internal`, logged `payment.key_mismatch`  |
//! | 400, 402, 404           | a refusal; it is final, because the key would replay an earlier success     |
//! | 401, 403                | the shop's API key is wrong: `Internal`, logged `payment.key_refused`       |
//! | 409                     | an earlier request with this key is still running: `OutcomeUnknown`         |
//! | 429                     | no effect: `Unavailable`                                                    |
//! | 5xx, or another         | `OutcomeUnknown`, or `Unavailable` if the call only reads                   |
//!
//! Stripe sends 401, 403 and 429 before it looks at the idempotency key. So these statuses say nothing about an earlier
//! attempt of the same call. If an earlier attempt had no response, the outcome is `OutcomeUnknown`.

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use serde::de::{DeserializeOwned, IgnoredAny};
use slog::error;

use super::wire::{ErrorBody, Refusal};
use crate::outbound::{CallError, Reply};

/// A response that says what happened.
pub(super) enum Answer<T> {
    Object(T),
    Refused(Refused),
}

pub(super) struct Refused {
    pub status: u16,
    pub refusal: Refusal,
}

/// What kind of call a response belongs to.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub name: &'static str,
    /// Whether the call only reads. Such a call has no effect, whatever the response is.
    pub is_read: bool,
}

impl Operation {
    pub fn read<T: DeserializeOwned>(
        self,
        ctx: &RequestContext,
        outcome: Result<Reply, CallError>,
    ) -> Result<Answer<T>, Fault> {
        let reply = outcome?;
        if reply.is_success() {
            let object = serde_json::from_slice(&reply.body);
            return object.map(Answer::Object).map_err(|error| self.unclear().caused_by(error));
        }
        let refusal = serde_json::from_slice::<ErrorBody>(&reply.body).ok().map(|body| body.error);
        let detail = refusal.as_ref().map_or_else(|| "-".to_owned(), Refusal::for_the_log);
        let detail = format!("{detail}, request {}", reply.request_id().unwrap_or("-"));
        let caused = |fault: Fault| fault.caused_by(format!("the gateway answered {}: {detail}", reply.status));
        let before_the_key = |kind| if reply.in_doubt { self.unclear() } else { Fault::new(kind, self.name) };
        match (reply.status, refusal) {
            (400, Some(refusal)) if refusal.kind.as_deref() == Some("idempotency_error") => {
                error!(ctx.log(), "gateway used the idempotency key for another request"; "op" => self.name,
                    "error_code" => "payment.key_mismatch", "error" => &detail);
                Err(caused(Fault::new(FaultKind::Internal, self.name)))
            }
            (400 | 402 | 404, Some(refusal)) => Ok(Answer::Refused(Refused { status: reply.status, refusal })),
            (401 | 403, _) => {
                error!(ctx.log(), "gateway refused the API key"; "op" => self.name,
                    "error_code" => "payment.key_refused", "status" => reply.status);
                Err(caused(before_the_key(FaultKind::Internal)))
            }
            (429, _) => Err(caused(before_the_key(FaultKind::Unavailable))),
            _ => Err(caused(self.unclear())),
        }
    }

    /// Returns the fault for an unclear response: `Unavailable` for a call that only reads, and `OutcomeUnknown` for
    /// another.
    pub fn unclear(self) -> Fault {
        let kind = if self.is_read { FaultKind::Unavailable } else { FaultKind::OutcomeUnknown };
        Fault::new(kind, self.name)
    }

    /// Returns the fault for a refusal that is not a regular result of this operation.
    pub fn unexpected(self, refused: &Refused) -> Fault {
        let detail = refused.refusal.for_the_log();
        Fault::internal(self.name, format!("the gateway refused with {}: {detail}", refused.status))
    }
}

/// Whether a body is JSON. A body that is not JSON cannot come from the gateway.
pub(super) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}
