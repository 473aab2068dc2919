//! Why a call has no answer, and the one thing that its caller must know: whether it may have had an effect.

use std::error::Error;
use std::fmt;

use domain::fault::{Fault, FaultKind, chain};

use super::guard::Blocked;

/// A call without an answer.
#[derive(Debug)]
pub struct CallError {
    pub(super) operation: &'static str,
    pub(super) effect: Effect,
    pub(super) reason: Reason,
    pub(super) source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a call without an answer may have done at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the call only reads, or no attempt was sent.
    None,
    /// The request, or part of it, may have been read.
    Unknown,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The destination may not be called.
    Blocked(Blocked),
    /// The request itself cannot be sent: a header with a line break, for instance. A bug.
    BadRequest,
    /// No connection: name not found, refused, not in time, or no agreement on TLS.
    Unreachable,
    /// The destination has as many calls as it may have.
    Busy,
    /// No whole answer before the deadline.
    Deadline,
    /// The caller left, or the process is stopping.
    Cancelled,
    /// The connection broke, or what came over it is not HTTP.
    Broken,
    /// The answer is longer than this call allows.
    TooLarge,
    /// The answer is not of the kind that was asked for: a page of a proxy, for instance.
    Unreadable,
}

impl Effect {
    /// The stable word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

impl Reason {
    /// The stable word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked(blocked) => blocked.as_str(),
            Self::BadRequest => "bad_request",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
        }
    }
}

impl CallError {
    pub(super) fn without_effect(operation: &'static str, reason: Reason) -> Self {
        Self { operation, effect: Effect::None, reason, source: None }
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The whole chain on one line, for the log.
    pub(super) fn chain(&self) -> String {
        chain(self)
    }
}

impl From<CallError> for Fault {
    /// What it means to a port: an effect that may have happened outranks the reason for not knowing.
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
        write!(f, "no answer ({}), effect {}", self.reason.as_str(), self.effect.as_str())?;
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
