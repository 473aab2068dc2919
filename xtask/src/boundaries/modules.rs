//! The rules for what a new module may forget: a query without a limit, a name that another module has, a refusal that
//! falls to a default, a request whose unknown members are ignored. To permit an exception, add it to a table, with its
//! reason.

use super::violation::{Exception, Violation, without_exceptions};
use crate::code::{self, Token};
use crate::sources::Source;

const TABLES: &str = "xtask/src/boundaries/modules.rs";

/// Functions whose query returns several rows and has no limit of its own.
const UNLIMITED: &[Exception] = &[
    ("persistence/src/import/checks.rs", "no_stock_below_held", "the SKUs are those of a part of an import"),
    ("persistence/src/outbox/queries.rs", "next_endpoints", "the constant text ends with a LIMIT"),
    ("persistence/src/outbox/queries.rs", "next_messages", "the constant text ends with a LIMIT"),
    ("persistence/src/stock.rs", "read", "the SKUs are those of one checkout"),
    ("persistence/src/stock.rs", "change", "the SKUs are those of one checkout"),
];

const STORAGE: &str = "persistence/src/";
const STOREFRONT: &str = "api/src/storefront/";
/// The code that returns all rows of a query.
const LOADS: [&str; 5] = ["load!(", "lock_all!(", "lock_free!(", "keep_all!(", ".load(*"];

pub fn check(sources: &[Source]) -> Vec<Violation> {
    let code = || sources.iter().filter(|source| !code::is_test_file(&source.path));
    let within = |place: &'static str| code().filter(move |source| source.path.starts_with(place));
    let mut violations: Vec<Violation> = within(STORAGE).flat_map(unlimited).collect();
    violations = without_exceptions("limit", violations, UNLIMITED, TABLES);
    violations.extend(within(STOREFRONT).flat_map(|source| defaults(source).into_iter().chain(lenient(source))));
    violations.extend(repeated(within("domain/src/").flat_map(prefixes), |_, _| true).map(|prefix| {
        let reason =
            "two ids have this prefix, and one would be taken for the other: choose other letters for the new one";
        prefix.broken("id prefix", reason)
    }));
    let operations = |calls| within(STORAGE).flat_map(move |source| names(source, calls));
    violations.extend(repeated(operations(&OPERATIONS), |one, other| one.file != other.file).map(|name| {
        name.broken("operation", "two files have an operation of this name: begin each with the name of its module")
    }));
    violations.extend(repeated(operations(&["once("]), |one, other| one.file == other.file).map(|name| {
        name.broken(
            "operation",
            "two keyed writes have this name, and would share their keys: give the new one its own",
        )
    }));
    let keyed: Vec<_> = operations(&["once("]).map(|place| place.text).collect();
    violations.extend(
        within("api/src/").flat_map(claims).filter(|claim| !keyed.contains(&claim.text)).map(|claim| {
            claim.broken("operation", "no `once` in persistence has this operation: both use the same name")
        }),
    );
    violations
}

/// A text in a file.
struct Place {
    file: String,
    line: usize,
    text: String,
}

impl Place {
    fn broken(self, rule: &'static str, reason: &'static str) -> Violation {
        Violation { file: self.file, line: self.line, rule, found: self.text, reason }
    }
}

fn violation(source: &Source, line: usize, rule: &'static str, found: &str, reason: &'static str) -> Violation {
    Violation { file: source.path.clone(), line, rule, found: found.to_owned(), reason }
}

/// The functions that load rows more often than they set a limit.
fn unlimited(source: &Source) -> Vec<Violation> {
    let count = |body: &[Token], patterns: &[&str]| {
        let patterns: Vec<_> = patterns.iter().map(|text| code::pattern(text)).collect();
        (0..body.len()).filter(|at| patterns.iter().any(|pattern| code::begin_with(&body[*at..], pattern))).count()
    };
    let limits =
        |body: &[Token]| count(body, &[".limit("]) + body.iter().filter(|token| token.text.contains("LIMIT ")).count();
    let functions = code::functions(&source.tokens).into_iter();
    let functions = functions.filter(|function| limits(function.body) < count(function.body, &LOADS));
    let reason = "a query that returns several rows has a `limit`, so that its answer fits into memory";
    functions.map(|function| violation(source, function.line, "limit", function.name, reason)).collect()
}

/// The functions `refused` with a default arm: `_ =>`, or a name that takes every value.
fn defaults(source: &Source) -> Vec<Violation> {
    let arrow = code::pattern("=>");
    let is_default = |arm: &[Token]| {
        let is_begin = ["{", "}", ","].contains(&arm[0].text.as_str());
        let is_name = arm[1].is_word && !arm[1].text.starts_with(char::is_uppercase);
        is_begin && is_name && code::begin_with(&arm[2..], &arrow)
    };
    let functions = code::functions(&source.tokens).into_iter().filter(|function| function.name == "refused");
    let reason = "a default gives a new refusal a status that was not chosen for it: name each variant";
    functions
        .filter(|function| function.body.windows(4).any(is_default))
        .map(|function| violation(source, function.line, "refusals", "_ =>", reason))
        .collect()
}

/// The bodies of requests whose unknown members are ignored.
fn lenient(source: &Source) -> Vec<Violation> {
    let is_body = |header: &[Token]| {
        ["Deserialize", "Validate"].iter().all(|name| code::contain(header, name))
            && !code::contain(header, "deny_unknown_fields")
    };
    let reason = "a misspelt member would be ignored: add #[serde(deny_unknown_fields)]";
    let tokens = &source.tokens;
    let structs = (1..tokens.len()).filter(|at| tokens[*at].text == "struct");
    let lenient = structs.filter(|at| is_body(&tokens[attributes(tokens, *at)..*at]));
    lenient.map(|at| violation(source, tokens[at].line, "unknown members", &tokens[at + 1].text, reason)).collect()
}

/// The index of the first attribute of the item whose keyword is at `keyword`.
fn attributes(tokens: &[Token], keyword: usize) -> usize {
    let (mut begin, mut depth) = (keyword, 0_usize);
    for (at, token) in tokens[..keyword].iter().enumerate().rev() {
        match token.text.as_str() {
            ")" | "]" => depth += 1,
            "}" if depth > 0 => depth += 1,
            "(" | "[" | "{" if depth > 0 => depth -= 1,
            "#" | "pub" => {}
            _ if depth > 0 => {}
            _ => break,
        }
        begin = at;
    }
    begin
}

/// The prefixes of ids: `Id<'r', 'e', 'v'>`.
fn prefixes(source: &Source) -> Vec<Place> {
    let (tokens, pattern) = (&source.tokens, code::pattern("Id<"));
    let ids = (0..tokens.len()).filter(|at| code::begin_with(&tokens[*at..], &pattern));
    let prefix = |at: usize| {
        let letters = tokens[at + 2..code::close(tokens, at + 1)].iter().filter(|token| token.text.starts_with('\''));
        letters.map(|token| token.text.trim_matches('\'')).collect::<String>()
    };
    let place = |at: usize| Place { file: source.path.clone(), line: tokens[at].line, text: prefix(at) };
    ids.map(place).filter(|place| !place.text.is_empty()).collect()
}

/// The calls that name an operation.
const OPERATIONS: [&str; 6] = [
    "once(",
    "Operation::read(",
    "Operation::read_one(",
    "Operation::write(",
    "Operation::repeatable_write(",
    "Operation::repeatable_write_one(",
];

/// The names of operations that are the first text among the arguments of these calls.
fn names(source: &Source, calls: &[&str]) -> Vec<Place> {
    let tokens = &source.tokens;
    let begins = |at: &usize| calls.iter().any(|call| code::begin_with(&tokens[*at..], &code::pattern(call)));
    let name = |at: usize| {
        let open = (at..tokens.len()).find(|at| tokens[*at].text == "(")?;
        let arguments = &tokens[open..code::close(tokens, open)];
        arguments.iter().find(|token| token.text.starts_with('"')).filter(|token| token.text.contains('.'))
    };
    let place = |token: &Token| Place { file: source.path.clone(), line: token.line, text: token.text.clone() };
    (0..tokens.len()).filter(begins).filter_map(name).map(place).collect()
}

/// The operations of keyed writes in handlers: `run(…, ("review.create", ""), …)`.
fn claims(source: &Source) -> Vec<Place> {
    let tokens = &source.tokens;
    let pattern = code::pattern(", (");
    let is_name = |token: &Token| token.text.starts_with('"') && token.text.contains('.');
    let runs = (0..tokens.len()).filter(|at| code::begin_with(&tokens[*at..], &code::pattern("run(")));
    let claim = |at: usize| {
        let arguments = &tokens[at + 1..code::close(tokens, at + 1)];
        let tuple = (0..arguments.len()).find(|at| code::begin_with(&arguments[*at..], &pattern))?;
        arguments.get(tuple + 2).filter(|token| is_name(token))
    };
    let place = |token: &Token| Place { file: source.path.clone(), line: token.line, text: token.text.clone() };
    runs.filter_map(claim).map(place).collect()
}

/// The places whose text another place has too, if `counts` says so of the two.
fn repeated(
    places: impl Iterator<Item = Place>,
    counts: impl Fn(&Place, &Place) -> bool,
) -> impl Iterator<Item = Place> {
    let places: Vec<Place> = places.collect();
    let has_twin = |at: usize| {
        let mut twins = places.iter().enumerate().filter(|(twin, place)| *twin != at && place.text == places[at].text);
        twins.any(|(_, twin)| counts(twin, &places[at]))
    };
    let is_repeated: Vec<bool> = (0..places.len()).map(has_twin).collect();
    places.into_iter().zip(is_repeated).filter_map(|(place, is_repeated)| is_repeated.then_some(place))
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
