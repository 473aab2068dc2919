//! Checks that the documents have an entry for each module (in the code map) and each error code (in the table of
//! errors).

use std::collections::BTreeSet;

use crate::code;
use crate::sources::Source;

const CODE_MAP: &str = "docs/ARCHITECTURE.md";
const ERRORS: &str = "docs/ERRORS.md";
/// Crates whose modules the code map lists.
const MAPPED: [&str; 4] = ["domain/src/", "persistence/src/", "integrations/src/", "api/src/"];
/// Functions that are called with an error code. The code is the first string literal of the call that has the form of
/// one.
const MAKERS: [&str; 3] = ["conflict", "bad_request", "Problem::new"];

/// Returns the missing entries. Each text also says how to correct the document.
pub fn missing(code: &[Source], documents: &[Source]) -> Vec<String> {
    let text = |path: &str| documents.iter().find(|source| source.path == path).map_or("", |source| &source.text);
    let modules = code.iter().filter_map(|source| module(&source.path)).collect::<BTreeSet<_>>().into_iter();
    let unmapped = modules.filter(|module| !text(CODE_MAP).contains(module.as_str()));
    let shop = code.iter().filter(|source| source.path.starts_with("api/src/"));
    let codes: BTreeSet<String> = shop.flat_map(error_codes).collect();
    let unlisted = codes.iter().filter(|code| !text(ERRORS).contains(&format!("`{code}`")));
    let unmapped = unmapped.map(|module| format!("{CODE_MAP}: its code map does not name `{module}`: add a row"));
    unmapped.chain(unlisted.map(|code| format!("{ERRORS}: does not name the error code `{code}`: add a row"))).collect()
}

/// The top-level module that contains a file: a folder with a `/` at the end, or the file itself. `None` if the code
/// map need not list the file.
fn module(path: &str) -> Option<String> {
    let start = MAPPED.into_iter().find(|start| path.starts_with(start))?;
    let inside = &path[start.len()..];
    match inside.split_once('/') {
        Some((folder, _)) => Some(format!("{start}{folder}/")),
        None if ["lib.rs", "main.rs"].contains(&inside) || code::is_test_file(inside) => None,
        None => Some(path.to_owned()),
    }
}

fn error_codes(source: &Source) -> BTreeSet<String> {
    let makers = MAKERS.map(|maker| code::pattern(&format!("{maker}(")));
    let mut codes = BTreeSet::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if !token.is_test && makers.iter().any(|maker| code::begin_with(&source.tokens[at..], maker)) {
            let literals = source.tokens[at..].iter().take_while(|token| token.text != ";");
            codes.extend(literals.filter_map(|token| error_code(&token.text)).take(1));
        }
    }
    codes
}

/// The value of a literal such as `"checkout_not_ready"`.
fn error_code(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_code = !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_');
    is_code.then(|| text.to_owned())
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
