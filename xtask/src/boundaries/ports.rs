//! The rules for ports: each method of a store has a contract test, a list has a bound, and a handler does not await a
//! write itself. To permit an exception, add it to one of the tables, with its reason.

use std::collections::{BTreeMap, BTreeSet};

use super::violation::{Exception, Violation, without_exceptions};
use crate::code::{self, Function, Token};
use crate::sources::Source;

const TABLES: &str = "xtask/src/boundaries/ports.rs";

/// Methods of stores without a contract test.
const UNTESTED: &[Exception] = &[];

/// Methods that return a list without a limit.
const UNBOUNDED: &[Exception] = &[(
    "domain/src/signing.rs",
    "KeyStore::keys",
    "the store holds at most 400 keys, and the signer needs all of them",
)];

/// Writes that a handler awaits itself.
const AWAITED: &[Exception] = &[
    (
        "api/src/gateway_events.rs",
        "attempts.record_event",
        "the gateway sends an event again until it gets the answer 200, and an event is recorded once",
    ),
    ("api/src/simulation/mod.rs", "records.age", "a route for tests, which production does not have"),
    ("api/src/simulation/mod.rs", "orders.append", "a route for tests, which production does not have"),
];

const DOMAIN: &str = "domain/src/";
const STORAGE: &str = "persistence/src/";
const KIT: &str = "persistence/tests/kit/";
const CONTRACT: &str = "persistence/tests/storage/contract/";
const API: &str = "api/src/";
/// Parts of the api without handlers. A client that disconnects does not stop them.
const WITHOUT_HANDLERS: [&str; 3] = ["api/src/app/", "api/src/cli/", "api/src/runtime/"];
/// The code by which a method of a store shows that it writes.
const WRITES: [&str; 4] =
    ["Operation::write(", "Operation::repeatable_write(", "Operation::repeatable_write_one(", "once("];
const COLLECTIONS: [&str; 5] = ["Vec<", "HashMap<", "HashSet<", "BTreeMap<", "BTreeSet<"];

pub fn check(sources: &[Source]) -> Vec<Violation> {
    let checks = [
        ("contract", untested(sources), UNTESTED),
        ("bounded list", unbounded(sources), UNBOUNDED),
        ("detached write", awaited(sources), AWAITED),
    ];
    let found = checks.into_iter().map(|(rule, found, except)| without_exceptions(rule, found, except, TABLES));
    found.flatten().collect()
}

/// The methods of stores that no contract test calls. A store is a port whose name ends in `Store`, or that the crate
/// persistence implements.
pub fn untested(sources: &[Source]) -> Vec<Violation> {
    let adapters: BTreeMap<&str, &str> = implementations(sources).map(|(port, adapter, _)| (adapter, port)).collect();
    let implemented: BTreeSet<&str> = adapters.values().copied().collect();
    // The members of the test kit whose type is an adapter, each with the port of the adapter: `orders: SqlOrderStore`.
    let triples = within(sources, KIT).flat_map(|kit| kit.tokens.windows(3));
    let members = triples.filter_map(|triple| match triple {
        [name, colon, of] if colon.text == ":" => Some((name.text.as_str(), *adapters.get(of.text.as_str())?)),
        _ => None,
    });
    let members: BTreeMap<&str, &str> = members.collect();
    let tests = within(sources, CONTRACT).filter(|test| code::contain(&test.tokens, "on_both_engines!"));
    let tests: Vec<&Source> = tests.collect();
    let is_tested = |port: &str, method: &Function<'_>| {
        let is_another = |receiver: &str| members.get(receiver).is_some_and(|of| *of != port);
        let calls = |test: &&Source| code::contain(&test.tokens, port) && calls(&test.tokens, method.name, &is_another);
        tests.iter().any(calls)
    };
    let methods = methods(sources).filter(|(_, port, method)| {
        (port.ends_with("Store") || implemented.contains(port)) && !is_tested(port, method)
    });
    let reason = "no contract test calls this method: add a test to persistence/tests/storage/contract/, in a file that \
                  names the port, and list the test in on_both_engines!";
    methods.map(|(file, port, method)| of_method("contract", file, port, &method, reason)).collect()
}

/// The methods of ports that return a list of any length, and lists that are not read in pages.
pub fn unbounded(sources: &[Source]) -> Vec<Violation> {
    let violation = |(file, port, method): (&Source, &str, Function<'_>)| {
        let takes = |texts: &[&str]| texts.iter().any(|text| code::contain(method.parameters, text));
        let returns = |texts: &[&str]| texts.iter().any(|text| code::contain(method.output, text));
        let is_paged = takes(&[": Limit"]) && takes(&[": Option<Cursor>"]) && returns(&["Page<"]);
        let reason = if (method.name.starts_with("list") || returns(&["Page<"])) && !is_paged {
            "a list is read in pages: take `after: Option<Cursor>` and `limit: Limit`, and return a `Page`, as \
             PlatformStore::list does"
        } else if returns(&COLLECTIONS) && !takes(&[": Limit", "limit:"]) {
            "returns a list without a bound: take `after: Option<Cursor>` and `limit: Limit`, and return a `Page`, as \
             PlatformStore::list does; or take `limit: u32`, if the caller handles all items in bounded batches"
        } else {
            return None;
        };
        Some(of_method("bounded list", file, port, &method, reason))
    };
    // A method without a context does no I/O, so it reads no stored list.
    let with_io = methods(sources).filter(|(.., method)| code::contain(method.parameters, "RequestContext"));
    with_io.filter_map(violation).collect()
}

/// The writes that a handler awaits itself. A handler stops when its client disconnects, and a command does not.
pub fn awaited(sources: &[Source]) -> Vec<Violation> {
    let methods = implementations(sources).flat_map(|(_, _, body)| code::functions(body));
    let writes: BTreeSet<&str> = methods.filter(writes_something).map(|method| method.name).collect();
    let handlers = within(sources, API).filter(|source| {
        !code::is_test_file(&source.path) && !WITHOUT_HANDLERS.iter().any(|place| source.path.starts_with(place))
    });
    handlers.flat_map(|source| awaited_in(source, &writes)).collect()
}

fn awaited_in(source: &Source, writes: &BTreeSet<&str>) -> Vec<Violation> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let command = code::pattern("async move {");
    let (mut commands, mut violations) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        // The work of a command is an async block that owns what it uses.
        if code::begin_with(&tokens[at..], &command) {
            commands.push(at..code::close(tokens, at + 2));
        }
        if text(at + 1) != "." || text(at + 3) != "(" || token.is_test || !writes.contains(text(at + 2)) {
            continue;
        }
        let end = code::close(tokens, at + 3);
        let is_awaited = text(end + 1) == "." && text(end + 2) == "await";
        if is_awaited && !commands.iter().any(|command| command.contains(&at)) {
            violations.push(Violation {
                file: source.path.clone(),
                line: token.line,
                rule: "detached write",
                found: format!("{}.{}", token.text, text(at + 2)),
                reason: "a client that disconnects would cut the write off: pass a closure that returns the future of \
                         this call to KeyedWrite::run, VersionedWrite::run or Commands::run",
            });
        }
    }
    violations
}

/// Whether a method of a store may change stored data: unless it shows that it only reads, it may.
fn writes_something(method: &Function<'_>) -> bool {
    let has = |text: &str| code::contain(method.body, text);
    let reads = has("Operation::read(") || has("Operation::read_one(");
    !reads || WRITES.iter().any(|text| has(text))
}

/// Whether the tokens call `method` with a context, on a receiver that is not another port. `.find(|item| …)` and
/// `.keys()` are calls of another method.
fn calls(tokens: &[Token], method: &str, is_another: &dyn Fn(&str) -> bool) -> bool {
    let call = code::pattern(&format!(".{method}("));
    let begins = |at: &usize| code::begin_with(&tokens[*at..], &call) && !is_another(&tokens[at - 1].text);
    let first = |at: usize| tokens.get(at + call.len()).map_or("", |token| token.text.as_str());
    (1..tokens.len()).filter(begins).any(|at| !["", "|", ")", "move", "async"].contains(&first(at)))
}

/// The methods of the traits of the domain: the file, the trait and the method.
fn methods(sources: &[Source]) -> impl Iterator<Item = (&Source, &str, Function<'_>)> {
    within(sources, DOMAIN).flat_map(|source| {
        code::blocks(&source.tokens, "trait").into_iter().flat_map(move |(_, head, body)| {
            let port = head.first().map_or("", |token| token.text.as_str());
            code::functions(body).into_iter().map(move |method| (source, port, method))
        })
    })
}

/// The implementations of ports in the crate persistence: the port, the adapter and the block.
fn implementations(sources: &[Source]) -> impl Iterator<Item = (&str, &str, &[Token])> {
    let ports: BTreeSet<&str> = methods(sources).map(|(_, port, _)| port).collect();
    let blocks = within(sources, STORAGE).flat_map(|source| code::blocks(&source.tokens, "impl"));
    blocks.filter_map(move |(_, head, body)| {
        let of = head.iter().position(|token| token.text == "for")?;
        let port = head[..of].iter().find(|token| ports.contains(token.text.as_str()))?;
        Some((port.text.as_str(), head.get(of + 1)?.text.as_str(), body))
    })
}

fn within<'s>(sources: &'s [Source], place: &'s str) -> impl Iterator<Item = &'s Source> {
    sources.iter().filter(move |source| source.path.starts_with(place))
}

fn of_method(
    rule: &'static str,
    source: &Source,
    port: &str,
    method: &Function<'_>,
    reason: &'static str,
) -> Violation {
    let found = format!("{port}::{}", method.name);
    Violation { file: source.path.clone(), line: method.line, rule, found, reason }
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
