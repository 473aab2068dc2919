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
/// The macros that return all rows of a query.
const LOADS: [&str; 4] = ["load!(", "lock_all!(", "lock_free!(", "keep_all!("];

pub fn check(sources: &[Source]) -> Vec<Violation> {
    let code = || sources.iter().filter(|source| !code::is_test_file(&source.path));
    let within = |place: &'static str| code().filter(move |source| source.path.starts_with(place));
    let mut violations: Vec<Violation> = within(STORAGE).flat_map(unlimited).collect();
    violations = without_exceptions("limit", violations, UNLIMITED, TABLES);
    violations.extend(within(STOREFRONT).flat_map(|source| defaults(source).into_iter().chain(lenient(source))));
    violations.extend(repeated(within("domain/src/").flat_map(prefixes), |_, _| true).map(|prefix| {
        prefix.broken(
            "id prefix",
            "another id has this prefix, and one would be taken for the other: choose other letters",
        )
    }));
    let operations = within(STORAGE).flat_map(|source| names(source, &OPERATIONS));
    violations.extend(repeated(operations, |one, other| one.file != other.file).map(|name| {
        name.broken("operation", "another file has an operation of this name: begin it with the name of the module")
    }));
    let keyed: Vec<_> = within(STORAGE).flat_map(|source| names(source, &["once("])).map(|place| place.text).collect();
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

/// The functions that load rows without a limit.
fn unlimited(source: &Source) -> Vec<Violation> {
    let is_limited =
        |body: &[Token]| code::contain(body, ".limit(") || body.iter().any(|token| token.text.contains("LIMIT "));
    let functions = code::functions(&source.tokens)
        .into_iter()
        .filter(|function| !is_limited(function.body) && LOADS.iter().any(|load| code::contain(function.body, load)));
    let reason = "a query that returns several rows has a `limit`, so that its answer fits into memory";
    functions.map(|function| violation(source, function.line, "limit", function.name, reason)).collect()
}

/// The functions `refused` with a default arm.
fn defaults(source: &Source) -> Vec<Violation> {
    let functions = code::functions(&source.tokens).into_iter().filter(|function| function.name == "refused");
    let reason = "a default gives a new refusal a status that nobody chose: name each variant";
    functions
        .filter(|function| code::contain(function.body, "_ =>"))
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
    let lenient = structs.filter(|at| {
        // The attributes are between the end of the item before and the word `struct`.
        let begin = tokens[..*at].iter().rposition(|token| ["}", ";"].contains(&token.text.as_str())).unwrap_or(0);
        is_body(&tokens[begin..*at])
    });
    lenient.map(|at| violation(source, tokens[at].line, "unknown members", &tokens[at + 1].text, reason)).collect()
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

/// The places whose text an earlier place has too, if the two differ as `differ` says.
fn repeated(
    places: impl Iterator<Item = Place>,
    differ: impl Fn(&Place, &Place) -> bool,
) -> impl Iterator<Item = Place> {
    let places: Vec<Place> = places.collect();
    let is_repeated: Vec<bool> = (0..places.len())
        .map(|at| places[..at].iter().any(|first| first.text == places[at].text && differ(first, &places[at])))
        .collect();
    places.into_iter().zip(is_repeated).filter_map(|(place, is_repeated)| is_repeated.then_some(place))
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
