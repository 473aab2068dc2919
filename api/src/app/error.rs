//! The error of a start that failed.

use std::error::Error;
use std::fmt;

use domain::fault::chain;

/// Why the shop cannot start: the error and its causes, for the operator. Any error ends the start, so no caller needs to
/// know its kind.
#[derive(Debug)]
pub struct StartError(pub(super) String);

impl StartError {
    /// `what` says what failed because of `cause`.
    pub fn caused(what: &str, cause: &(dyn Error + 'static)) -> Self {
        Self(format!("{what}: {}", chain(cause)))
    }
}

impl<E: Error + 'static> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
