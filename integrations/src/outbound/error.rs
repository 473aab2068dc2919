//! Why a call has no response, and whether it may have had an effect.

use std::error::Error;
use std::fmt;

use domain::fault::{Fault, FaultKind};

use super::guard::Blocked;

/// The error of a call that has no response.
#[derive(Debug)]
pub struct CallError {
    pub(super) operation: &'static str,
    pub effect: Effect,
    pub reason: Reason,
    pub(super) source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a call without a response may have done on the other side. The words are stable in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Effect {
    /// The call had no effect, because it only reads or because no attempt was sent.
    None,
    /// The other side may have read the request or a part of it.
    Unknown,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The destination may not be called.
    Blocked(Blocked),
    /// The request cannot be sent, for example because of a line break in a header. This is a bug of the shop.
    BadRequest,
    /// There was no connection, because the name was not found, or because the connection or TLS failed or took too
    /// long.
    Unreachable,
    /// The bulkhead of the destination is full, or too many names are being looked up.
    Busy,
    /// No complete response before the deadline.
    Deadline,
    /// The caller cancelled, or the process is stopping.
    Cancelled,
    /// The connection broke, or the response is not HTTP.
    Broken,
    /// The response is longer than the call allows.
    TooLarge,
    /// The response is not of the expected format, for example a page of a proxy.
    Unreadable,
}

impl Reason {
    /// The stable word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked(blocked) => blocked.into_str(),
            other => other.into(),
        }
    }
}

impl CallError {
    pub(super) fn without_effect(operation: &'static str, reason: Reason) -> Self {
        Self { operation, effect: Effect::None, reason, source: None }
    }
}

impl From<CallError> for Fault {
    /// If the call may have had an effect, the fault is `OutcomeUnknown`, whatever the reason is.
    fn from(error: CallError) -> Self {
        let kind = match (error.effect, error.reason) {
            (Effect::Unknown, _) => FaultKind::OutcomeUnknown,
            (Effect::None, Reason::Deadline) => FaultKind::DeadlineExceeded,
            (Effect::None, Reason::Cancelled) => FaultKind::Cancelled,
            (Effect::None, Reason::BadRequest) => FaultKind::Internal,
            (
                Effect::None,
                Reason::Blocked(_)
                | Reason::Unreachable
                | Reason::Busy
                | Reason::Broken
                | Reason::TooLarge
                | Reason::Unreadable,
            ) => FaultKind::Unavailable,
        };
        Self::new(kind, error.operation).caused_by(error)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer ({}), effect {}", self.reason.as_str(), self.effect.into_str())?;
        match self.reason {
            Reason::Blocked(blocked) => write!(f, ": {blocked}"),
            _ => Ok(()),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
