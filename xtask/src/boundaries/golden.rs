//! The rule for stored outcomes: the newest golden set has an outcome of every keyed write, so that later releases are
//! tested with it.

use super::violation::Violation;
use crate::code;
use crate::sources::Source;

/// The operations of the calls `once(…, "module.verb", …)` that do not occur in the text of the newest golden set.
pub fn check(sources: &[Source], newest: &str) -> Vec<Violation> {
    let (mut violations, once) = (Vec::new(), code::pattern("once("));
    for source in sources.iter().filter(|source| source.path.starts_with("persistence/src/")) {
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
