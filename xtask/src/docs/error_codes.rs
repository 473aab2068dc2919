//! Checks that docs/ERRORS.md names every error code of the api.
//!
//! A code is a literal in a call of [`CALLS`], the member `code` of a struct or of JSON, or the word of a variant of an
//! enum of codes.

use std::collections::BTreeSet;

use crate::code::{self, Token};
use crate::sources::Source;

pub const ERRORS: &str = "docs/ERRORS.md";
/// The calls of functions and closures that take a code, up to the arguments or into them.
const CALLS: [&str; 6] = [
    "Problem::new(",
    "Problem::bad_request(",
    "Problem::not_found(",
    "Self::new(StatusCode",
    "conflict(",
    "unavailable(",
];
/// The functions and closures in [`CALLS`].
const MAKERS: [&str; 5] = ["new", "bad_request", "not_found", "conflict", "unavailable"];
/// The parameter of a function that takes a code.
const CODE: &str = "code: &'static str";
/// The enums whose words are error codes or codes of messages, in snake case.
const ENUMS: [&str; 2] = ["FaultKind", "MessageCode"];

/// Returns the missing entries, and the places whose codes cannot be found.
pub fn missing(code: &[Source], table: &str) -> Vec<String> {
    let domain = code.iter().filter(|source| source.path.starts_with("domain/src/"));
    let (mut codes, mut mistakes) = (BTreeSet::from_iter(domain.flat_map(enum_words)), Vec::new());
    let is_api = |source: &&Source| source.path.starts_with("api/src/") && !code::is_test_file(&source.path);
    for source in code.iter().filter(is_api) {
        codes.extend(members(&source.tokens));
        for (line, found) in calls(source) {
            if found.is_empty() {
                let mistake = "the code of this problem cannot be found: write it as a literal";
                mistakes.push(format!("{}:{line}: {mistake}", source.path));
            }
            codes.extend(found);
        }
        mistakes.extend(unknown_makers(source).map(|(line, name)| {
            let remedy = "define it in a problem.rs, and add it to CALLS and MAKERS in xtask/src/docs/error_codes.rs";
            format!("{}:{line}: `{name}` takes an error code: {remedy}", source.path)
        }));
    }
    let unlisted = codes.iter().filter(|code| !table.contains(&format!("`{code}`")));
    mistakes.extend(unlisted.map(|code| format!("{ERRORS}: does not name the error code `{code}`: add a row")));
    mistakes
}

/// The calls with a code: the line, and the literals that may be the code. Leaves out a call that passes the parameter of
/// a function in [`MAKERS`] on, and a call whose code is the word of an enum.
fn calls(source: &Source) -> impl Iterator<Item = (usize, BTreeSet<String>)> {
    let (tokens, patterns) = (&source.tokens, CALLS.map(code::pattern));
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let call = move |at: usize| {
        let pattern = patterns.iter().find(|pattern| code::begin_with(&tokens[at..], pattern))?;
        let open = at + pattern.iter().position(|part| part == "(")?;
        let arguments = &tokens[open..code::close(tokens, open)];
        // `fn conflict(…)` or `let conflict = |…|`.
        let around = (0..at).rfind(|at| text(*at) == "fn" || text(*at) == "let" && text(at + 3) == "|");
        let is_in_maker = around.is_some_and(|around| MAKERS.contains(&text(around + 1)));
        let is_passed_on = is_in_maker && code::contain(arguments, ", code,");
        let is_word = code::contain(arguments, ".into_str()") && ENUMS.iter().any(|name| code::contain(tokens, name));
        let found: BTreeSet<String> = arguments.iter().filter_map(|token| error_code(&token.text)).collect();
        (!found.is_empty() || !is_passed_on && !is_word).then(|| (tokens[at].line, found))
    };
    let is_call = move |at: &usize| !tokens[*at].is_test && tokens[at - 1].text != "fn";
    (1..tokens.len()).filter(is_call).filter_map(call)
}

/// The functions with a parameter for a code that [`MAKERS`] does not name: the line and the name.
fn unknown_makers(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let makers = code::functions(&source.tokens).into_iter().filter(|of| code::contain(of.parameters, CODE));
    let is_known = |name| MAKERS.contains(&name) && source.path.ends_with("/problem.rs");
    makers.map(|of| (of.line, of.name)).filter(move |(_, name)| !is_known(name))
}

/// The codes of members: `code: "gone"` of a struct, `"code": "gone"` of the macro `json!`, and `"code":"gone"` inside a
/// literal.
fn members(tokens: &[Token]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_test) {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if ["code", "\"code\""].contains(&text(0)) && text(1) == ":" {
            codes.extend(error_code(text(2)));
        }
        let written = token.text.split("\"code\\\":\\\"").skip(1).filter_map(|rest| rest.split('\\').next());
        codes.extend(written.map(str::to_owned));
    }
    codes
}

/// The words of the variants of the [`ENUMS`] that a file defines: the text of `#[strum(serialize = "…")]`, or the name in
/// snake case.
fn enum_words(source: &Source) -> BTreeSet<String> {
    let enums = code::blocks(&source.tokens, "enum").into_iter();
    let enums = enums.filter(|(_, head, _)| head.first().is_some_and(|name| ENUMS.contains(&name.text.as_str())));
    let mut words = BTreeSet::new();
    for (_, _, block) in enums {
        let (mut at, mut given) = (0, None);
        while at < block.len() {
            match block[at].text.as_str() {
                "#" => {
                    let attribute = &block[at..code::close(block, at + 1)];
                    given = given.or(attribute.iter().find_map(|token| error_code(&token.text)));
                    at += attribute.len();
                }
                "(" | "{" => at = code::close(block, at),
                name if block[at].is_word => drop(words.insert(given.take().unwrap_or_else(|| snake_case(name)))),
                _ => {}
            }
            at += 1;
        }
    }
    words
}

fn snake_case(name: &str) -> String {
    let letter = |(index, letter): (usize, char)| {
        let underscore = (index > 0 && letter.is_uppercase()).then_some('_');
        underscore.into_iter().chain(letter.to_lowercase())
    };
    name.chars().enumerate().flat_map(letter).collect()
}

/// The value of a literal such as `"checkout_not_ready"`.
fn error_code(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_code = !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_');
    is_code.then(|| text.to_owned())
}

#[cfg(test)]
#[path = "error_codes_tests.rs"]
mod tests;
