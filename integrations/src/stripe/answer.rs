//! What a response of Stripe means: an object, a refusal, or a fault whose kind states whether there was an effect.
//!
//! | response                | meaning                                                                     |
//! |-------------------------|-----------------------------------------------------------------------------|
//! | none                    | the effect of the call error: none, or `OutcomeUnknown`                     |
//! | 2xx                     | the object                                                                  |
//! | 400 `idempotency_error` | a bug, one key for two requests: `Internal`, logged `payment.key_mismatch`  |
//! | 400, 402, 404           | a refusal; definite, because the key would replay an earlier response       |
//! | 401, 403                | the shop's API key is wrong: `Internal`, logged `payment.key_refused`       |
//! | 409                     | an earlier request with this key is still running: `OutcomeUnknown`         |
//! | 429                     | no effect: `Unavailable`                                                    |
//! | 5xx, or another         | `OutcomeUnknown`; `Unavailable` for a read                                  |
//!
//! Stripe sends 401, 403 and 429 before it looks at the idempotency key. After an earlier attempt without a response, they
//! do not state the effect of that attempt, and the outcome is unknown.

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use serde::de::{DeserializeOwned, IgnoredAny};
use slog::error;

use super::wire::{ErrorBody, Refusal};
use crate::outbound::{CallError, Reply};

/// A definite response.
pub(super) enum Answer<T> {
    Object(T),
    Refused(Refused),
}

pub(super) struct Refused {
    pub status: u16,
    pub refusal: Refusal,
}

/// The call that was made.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub name: &'static str,
    /// A read has no effect, whatever the response.
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

    /// The outcome is not known; a read has none.
    pub fn unclear(self) -> Fault {
        let kind = if self.is_read { FaultKind::Unavailable } else { FaultKind::OutcomeUnknown };
        Fault::new(kind, self.name)
    }

    /// The fault of a refusal that is no outcome of this operation.
    pub fn unexpected(self, refused: &Refused) -> Fault {
        let detail = refused.refusal.for_the_log();
        Fault::internal(self.name, format!("the gateway refused with {}: {detail}", refused.status))
    }
}

/// Whether a body can be the gateway's.
pub(super) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}
