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
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
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
}
