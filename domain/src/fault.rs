//! The two ways in which an operation fails: a business rule refuses it, or a technical failure stops it.
//!
//! A [`Refusal`] is an answer for the caller; each module defines its refusals. A [`Fault`] is a technical failure: a
//! database that is down, a deadline that passed, a bug. [`Failure`] holds either of them and is the error type of most
//! ports.

use std::error::Error;

/// A technical failure: the operation, the kind, and the error that caused it, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {}", kind.into_str())]
pub struct Fault {
    kind: FaultKind,
    operation: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why an operation was not done: a business rule refused it, or a technical failure stopped it.
#[derive(Debug)]
pub enum Failure<R> {
    Refused(R),
    Fault(Fault),
}

/// Marks the refusals of a module, so that `?` converts them into a [`Failure`].
pub trait Refusal {}

impl<R: Refusal> From<R> for Failure<R> {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal)
    }
}
impl<R> From<Fault> for Failure<R> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The kind of a fault. Each kind has one response status and one retry policy, listed in `docs/ERRORS.md`. The word of
/// a kind, such as `storage_full`, is stable in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum FaultKind {
    /// The deadline passed before the work was finished. Nothing happened.
    DeadlineExceeded,
    /// The client disconnected, or the process shuts down. Nothing happened.
    Cancelled,
    /// A dependency is down or overloaded. Nothing happened; the same request may succeed later.
    Unavailable,
    /// The storage is full. Nothing happened; the same request succeeds when there is space again.
    StorageFull,
    /// A concurrent transaction was in conflict. Nothing happened; the same request may be repeated soon.
    Contention,
    /// The work may or may not have happened: the connection broke during the commit.
    OutcomeUnknown,
    /// A bug: code and data disagree. Nothing happened.
    Internal,
}

impl FaultKind {
    /// Whether the fault is transient: the same write may succeed moments later without an intervention.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Unavailable | Self::Contention | Self::OutcomeUnknown => true,
            Self::DeadlineExceeded | Self::Cancelled | Self::StorageFull | Self::Internal => false,
        }
    }
}

impl Fault {
    pub fn new(kind: FaultKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }

    /// A fault of kind [`FaultKind::Internal`]. `what` is one sentence that states the contradiction.
    pub fn internal(operation: &'static str, what: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, operation).caused_by(what.into())
    }

    /// Adds the error that caused the fault.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The name of the operation that failed, `module.verb`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The fault and its causes on one line, for the log. Callers get only the error code.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes on one line. If a fault is caused by a fault of the same operation, the cause adds only its
/// kind. A cause is left out if the text already ends with it, because many errors repeat their cause.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let (mut outer, mut next) = (error, error.source());
    while let Some(cause) = next {
        let said = match (outer.downcast_ref::<Fault>(), cause.downcast_ref::<Fault>()) {
            (Some(outer), Some(cause)) if outer.operation == cause.operation => cause.kind.into_str().to_owned(),
            _ => cause.to_string(),
        };
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        (outer, next) = (cause, cause.source());
    }
    text
}
