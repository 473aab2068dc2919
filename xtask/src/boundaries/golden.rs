//! The rule for stored outcomes: the newest golden set has an outcome of every keyed write, so that later releases are
//! tested with it.

use super::violation::{Exception, Violation, without_exceptions};
use crate::code;
use crate::sources::Source;

/// Keyed writes without an outcome in the golden set.
const MISSING: &[Exception] = &[];

/// The places that define `once`, and do not call it for an operation.
const WITHOUT_OPERATIONS: [&str; 2] = ["persistence/src/idempotency/", "persistence/src/database/"];

/// Compares the operations with the text of the newest golden set.
pub fn check(sources: &[Source], newest: &str) -> Vec<Violation> {
    without_exceptions("golden", missing(sources, newest), MISSING, "xtask/src/boundaries/golden.rs")
}

/// The operations of the calls `once(…, "module.verb", …)` that do not occur in the set.
pub fn missing(sources: &[Source], newest: &str) -> Vec<Violation> {
    let is_storage = |path: &str| {
        path.starts_with("persistence/src/") && !WITHOUT_OPERATIONS.iter().any(|place| path.starts_with(place))
    };
    let (mut violations, once) = (Vec::new(), code::pattern("once("));
    for source in sources.iter().filter(|source| is_storage(&source.path)) {
        let tokens = &source.tokens;
        for at in (0..tokens.len()).filter(|at| code::begin_with(&tokens[*at..], &once)) {
            let arguments = &tokens[at..code::close(tokens, at + 1)];
            let operation = arguments.iter().find(|token| token.text.starts_with('"') && token.text.contains('.'));
            let Some(operation) = operation.filter(|operation| !newest.contains(&operation.text)) else { continue };
            violations.push(Violation {
                file: source.path.clone(),
                line: operation.line,
                rule: "golden",
                found: operation.text.trim_matches('"').to_owned(),
                reason: "the newest golden set has no outcome of this operation: use the operation in the history of \
                         golden! in the contract tests of its module, raise FORMAT in persistence/src/stored.rs, and run \
                         cargo xtask golden",
            });
        }
    }
    violations
}

#[cfg(test)]
#[path = "golden_tests.rs"]
mod tests;
