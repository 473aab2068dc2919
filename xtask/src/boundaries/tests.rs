//! Tests that each rule reports what it forbids. Rules for files are applied to texts, and rules for dependencies to
//! lists of dependencies.

use super::dependencies::{self, broken, direct, far_from_domain, line_of, linked};
use super::violation::Violation;
use super::{MOST_LINES, check, check_file, reach};
use crate::golden::newest_set;
use crate::process;
use crate::sources::{self, Source};

const NOTHING: [String; 0] = [];

fn shown<'a>(violations: impl IntoIterator<Item = &'a Violation>) -> Vec<String> {
    violations.into_iter().map(Violation::to_string).collect()
}

fn of_file(path: &str, text: &str) -> Vec<String> {
    shown(&check_file(&Source::new(path, text)))
}

#[test]
fn workspace_has_no_violation() {
    let graph = process::metadata().expect("a graph");
    assert_eq!(shown(&dependencies::check(&graph).expect("checkable")), NOTHING);
    let sources = sources::rust().expect("readable");
    assert!(sources.len() > 100, "{} files", sources.len());
    assert_eq!(shown(&check(sources, &newest_set().expect("a set"))), NOTHING);
}

#[test]
fn forbidden_dependency_is_reported() {
    for (package, dependency, expected) in [
        ("persistence", "actix-web", Some("persistence only persists")),
        ("integrations", "diesel", Some("integrations only integrate")),
        ("paysim", "persistence", Some("one composition root")),
        ("domain", "slog-async", Some("pure domain")),
        ("domain", "tokio", Some("pure domain")),
        ("integrations", "paysim", Some("tools of the tests")),
        ("api", "faultkit", Some("tools of the tests")),
        ("api", "persistence", None),
    ] {
        let rules: Vec<_> = broken(package, &[dependency]).into_iter().map(|(rule, _, _)| rule).collect();
        assert_eq!(rules, Vec::from_iter(expected), "{package} -> {dependency}");
    }
    let far = far_from_domain(&["hyper", "serde"].map(str::to_owned).into());
    assert!(matches!(far.as_slice(), [("pure domain", name, _)] if name == "hyper"), "{far:?}");
}

#[test]
fn dependencies_of_a_package_are_those_that_it_ships() {
    let graph = process::metadata().expect("a graph");
    let api = graph.workspace_packages().into_iter().find(|package| package.name == "api").expect("a member");
    let (direct, linked) = (direct(api), linked("api").expect("a tree"));
    for (name, expected) in [("actix-web", [true, true]), ("hyper", [false, true]), ("faultkit", [false, false])] {
        assert_eq!([direct.contains(&name), linked.contains(name)], expected, "{name}");
    }
}

#[test]
fn dependency_is_reported_with_its_line() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\ndiesel-derives = \"2\"\ndiesel.workspace = true\n";
    assert_eq!(line_of("diesel", manifest), 6);
    assert_eq!(line_of("diesel-derives", &manifest.replace(" = \"2\"", "=\"2\"")), 5);
    assert_eq!(line_of("r2d2", manifest), 1);
}

#[test]
fn forbidden_code_is_reported_once() {
    for (file, line, rule, found) in [
        ("api/src/lib.rs", "use persistence::Database;", "composition", "persistence::"),
        ("api/src/lib.rs", "use integrations as i;", "composition", "use integrations as"),
        ("api/src/lib.rs", "fn f() { tokio::spawn(async {}); }", "owned tasks", "spawn"),
        ("domain/src/lib.rs", "fn f() { tokio::spawn(async {}); }", "owned tasks", "spawn"),
        ("domain/src/lib.rs", "struct JsonOrder;", "plain words", "JsonOrder"),
        ("domain/src/money.rs", "fn f() { std::time::Instant::now(); }", "monotonic clock", "Instant::now"),
        ("persistence/src/lib.rs", "fn f() { SystemTime::now(); }", "wall clock", "SystemTime::now"),
        ("integrations/src/lib.rs", "fn f() { std::env::var(\"HOME\"); }", "environment", "env::var"),
        ("api/src/lib.rs", "fn f() { connection.transaction(|c| c); }", "choke point", ".transaction("),
        ("api/src/lib.rs", "#[ignore = \"slow\"] fn f() {}", "unfinished", "#[ignore"),
        ("api/tests/kit/mod.rs", "fn f() { todo!() }", "unfinished", "todo!"),
        ("domain/src/money.rs", "#[cfg(test)] mod tests { fn f() {} }", "tests beside", "mod tests {"),
        ("domain/src/lib.rs", "#[cfg(test)] fn a() {} fn b() { t.spawn(); }", "owned tasks", "spawn"),
        ("api/src/store/review.rs", "fn f() { g(KeyClaim { key, ..claim }); }", "one claim", "KeyClaim {"),
        ("api/src/store/review.rs", "fn f() { let write = Write { claim, now }; }", "one claim", "Write {"),
    ] {
        let found_by = of_file(file, &format!("//! A purpose.\n\n{line}\n"));
        assert_eq!(found_by.len(), 1, "{line}: {found_by:?}");
        assert!(found_by[0].starts_with(&format!("{file}:3: [{rule}] `{found}`: ")), "{line}: {found_by:?}");
    }
}

#[test]
fn exempt_file_comment_string_or_test_may_contain_forbidden_code() {
    for (file, line) in [
        ("api/src/app/mod.rs", "use persistence::Database;"),
        ("api/src/clock.rs", "fn f() { SystemTime::now(); }"),
        ("persistence/src/database/job.rs", "fn f() { spawn_blocking(f); establish(g); }"),
        ("api/src/http/write.rs", "impl KeyedWrite { fn f() { Write { claim: KeyClaim { key }, now } } }"),
        ("api/tests/kit/mod.rs", "fn f() { tokio::spawn(f); }"),
        ("domain/src/lib.rs", "/// Not as JSON; never `tokio::spawn(f)`."),
        ("domain/src/lib.rs", "const A: &str = \"Instant::now() http\"; // env::var"),
        ("domain/src/lib.rs", "#[cfg(test)] mod inner { fn f() { spawn(json); } }"),
    ] {
        assert_eq!(of_file(file, &format!("//! A purpose.\n{line}\n")), NOTHING);
    }
}

#[test]
fn file_without_purpose_too_long_or_not_rust_is_reported() {
    let opening = "//! A purpose.\n";
    for (text, rule) in [
        (format!("use std::fmt;\n{opening}"), Some("story")),
        (String::new(), Some("story")),
        (opening.to_owned() + &"\n".repeat(MOST_LINES - 1), None),
        (opening.to_owned() + &"\n".repeat(MOST_LINES), Some("length")),
        (opening.to_owned() + "fn f( {\n", Some("syntax")),
    ] {
        let violations = check_file(&Source::new("domain/src/money.rs", text));
        assert_eq!(violations.iter().map(|violation| violation.rule).collect::<Vec<_>>(), Vec::from_iter(rule));
    }
}

#[test]
fn file_that_no_module_names_is_reported() {
    let files = [
        ("a/src/lib.rs", "mod b; mod c { mod inner; } // mod lost;\nconst C: &str = \"mod lost;\";"),
        ("a/src/b/mod.rs", "mod d;"),
        ("a/src/b/d.rs", "mod e;"),
        ("a/src/b/d/e.rs", ""),
        ("a/src/inner.rs", ""),
        ("a/src/lost.rs", ""),
        ("a/tests/faults.rs", "#[path = \"faults/f.rs\"] mod f; #[path = \"../../z/tests/kit/p.rs\"] mod p;"),
        ("a/tests/faults/f.rs", ""),
        ("a/tests/shop/main.rs", "mod g;"),
        ("a/tests/shop/g.rs", ""),
        ("a/tests/shop/lost.rs", "#[test] fn never_runs() {}"),
        ("z/tests/kit/p.rs", ""),
    ];
    let lost = reach::check(&files.map(|(path, text)| Source::new(path, text)));
    let lost: Vec<&str> = lost.iter().map(|violation| violation.file.as_str()).collect();
    assert_eq!(lost, ["a/src/lost.rs", "a/tests/shop/lost.rs"]);
}
