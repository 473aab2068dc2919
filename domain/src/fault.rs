//! Why an adapter could not do its work. A business refusal is not a fault.

use std::error::Error;
use std::fmt;

/// A failure of the machinery: which operation, which kind, and the chain behind it for the log.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    operation: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why an operation was not done: a rule refuses it, or the machinery failed.
#[derive(Debug)]
pub enum Failure<R> {
    Refused(R),
    Fault(Fault),
}

/// A reason of a rule. Marks the types that convert into a [`Failure`] with `?`.
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

/// One row of the operator's table: each kind has one status, one retry policy and one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The caller's deadline passed before the work could finish. Nothing happened.
    DeadlineExceeded,
    /// The caller went away, or the process is stopping. Nothing happened.
    Cancelled,
    /// A dependency is down or saturated. Nothing happened; the same request may work later.
    Unavailable,
    /// There is no room left to store anything. Nothing happened; the same request works when there is room again.
    StorageFull,
    /// Another writer was in the way. Nothing happened; the same request may be repeated soon.
    Contention,
    /// The work may or may not have happened: the connection broke while it was being made permanent.
    OutcomeUnknown,
    /// A bug: our code and our data disagree. Nothing happened.
    Internal,
}

impl FaultKind {
    /// Whether the same write may succeed moments later, without anyone's help.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Unavailable | Self::Contention | Self::OutcomeUnknown => true,
            Self::DeadlineExceeded | Self::Cancelled | Self::StorageFull | Self::Internal => false,
        }
    }

    /// The stable word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::StorageFull => "storage_full",
            Self::Contention => "contention",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Internal => "internal",
        }
    }
}

impl Fault {
    pub fn new(kind: FaultKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }

    /// A contradiction between code and data, told in one sentence.
    pub fn internal(operation: &'static str, what: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, operation).caused_by(what.into())
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The `module.verb` that failed.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The whole chain on one line, for the log. Callers are given the code only.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes on one line, each said once. A fault that only restates another of the same operation adds
/// no more than its kind, and an error that repeats its cause, as many libraries' do, has said it.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let (mut outer, mut next) = (error, error.source());
    while let Some(cause) = next {
        let said = match (outer.downcast_ref::<Fault>(), cause.downcast_ref::<Fault>()) {
            (Some(outer), Some(cause)) if outer.operation == cause.operation => cause.kind.as_str().to_owned(),
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.operation, self.kind.as_str())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let fault = Fault::new(FaultKind::Unavailable, "order.read").caused_by("connection refused");
        assert_eq!(fault.chain(), "order.read failed: unavailable: connection refused");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the pool is empty: {0}")]
    struct Repeats(#[source] std::io::Error);

    #[test]
    fn nothing_is_said_twice() {
        let fault = |kind| Fault::new(kind, "payment.open");
        for (inner, expected) in [
            (fault(FaultKind::Unavailable), "payment.open failed: unavailable: no answer"),
            (fault(FaultKind::Internal), "payment.open failed: unavailable: internal: no answer"),
            (
                Fault::new(FaultKind::Unavailable, "order.read"),
                "payment.open failed: unavailable: order.read failed: unavailable: no answer",
            ),
        ] {
            let restated = fault(FaultKind::Unavailable).caused_by(inner.caused_by("no answer"));
            assert_eq!(restated.chain(), expected);
        }
        let refused = Repeats(std::io::Error::other("connection refused"));
        let fault = Fault::new(FaultKind::Unavailable, "order.read").caused_by(refused);
        assert_eq!(fault.chain(), "order.read failed: unavailable: the pool is empty: connection refused");
    }
}
