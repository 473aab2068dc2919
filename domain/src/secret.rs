//! Secrets: values that must never appear in a log line, an error message or a response.

use derive_more::Debug;

/// A secret. It has no serialization and its `Debug` hides the value, so it cannot be logged or returned by accident.
#[derive(Clone, PartialEq, Eq, Debug)]
#[debug("***")]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Call this only where the secret is used: in a comparison, or in a request to the secret's owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
