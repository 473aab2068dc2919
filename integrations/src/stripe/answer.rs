//! From what came back to what it means: an object, a refusal, or a fault that says whether anything happened.
//!
//! | came back               | means                                                                       |
//! |-------------------------|-----------------------------------------------------------------------------|
//! | no answer               | what the way out says: no effect, or `OutcomeUnknown`                       |
//! | 2xx                     | the object                                                                  |
//! | 400 `idempotency_error` | a bug, one key for two requests: `Internal`, logged `payment.key_mismatch`  |
//! | 400, 402, 404           | a refusal; definite, as the key would have brought an earlier answer        |
//! | 401, 403                | our own key is wrong: `Internal`, logged `payment.key_refused`              |
//! | 409                     | an earlier request with this key is still running: `OutcomeUnknown`         |
//! | 429                     | nothing happened: `Unavailable`                                             |
//! | 5xx, or anything else   | `OutcomeUnknown`; `Unavailable` for a question                              |
//!
//! 401, 403 and 429 are said before the key is looked at. After an earlier attempt without an answer they are silent
//! about it, so the outcome is unknown then.

use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};
use serde::de::{DeserializeOwned, IgnoredAny};
use slog::error;

use super::wire::{ErrorBody, Refusal};
use crate::outbound::{CallError, Reply};

/// The gateway understood and answered: yes or no.
pub(super) enum Answer<T> {
    Object(T),
    Refused(Refused),
}

pub(super) struct Refused {
    pub status: u16,
    pub refusal: Refusal,
}

/// What was asked, for the mapping and for the log.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub operation: &'static str,
    /// A question changes nothing, whatever comes back.
    pub is_question: bool,
}

impl Asked {
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
        let said = refusal.as_ref().map_or_else(|| "-".to_owned(), Refusal::for_the_log);
        let said = format!("{said}, request {}", reply.request_id().unwrap_or("-"));
        let told = |fault: Fault| fault.caused_by(format!("the gateway answered {}: {said}", reply.status));
        let before_the_key = |kind| if reply.in_doubt { self.unclear() } else { Fault::new(kind, self.operation) };
        match (reply.status, refusal) {
            (400, Some(refusal)) if refusal.kind.as_deref() == Some("idempotency_error") => {
                error!(ctx.log(), "gateway knows the key for another request"; "op" => self.operation,
                    "error_code" => "payment.key_mismatch", "error" => &said);
                Err(told(Fault::new(FaultKind::Internal, self.operation)))
            }
            (400 | 402 | 404, Some(refusal)) => Ok(Answer::Refused(Refused { status: reply.status, refusal })),
            (401 | 403, _) => {
                error!(ctx.log(), "gateway refuses the shop's key"; "op" => self.operation,
                    "error_code" => "payment.key_refused", "status" => reply.status);
                Err(told(before_the_key(FaultKind::Internal)))
            }
            (429, _) => Err(told(before_the_key(FaultKind::Unavailable))),
            _ => Err(told(self.unclear())),
        }
    }

    /// The outcome is not known, unless there could be none.
    pub fn unclear(self) -> Fault {
        let kind = if self.is_question { FaultKind::Unavailable } else { FaultKind::OutcomeUnknown };
        Fault::new(kind, self.operation)
    }

    /// A refusal that has no meaning to the shop: it asked for something impossible.
    pub fn impossible(self, refused: &Refused) -> Fault {
        let said = refused.refusal.for_the_log();
        Fault::internal(self.operation, format!("the gateway refused with {}: {said}", refused.status))
    }
}

/// Whether it can have come from the gateway at all.
pub(super) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}
