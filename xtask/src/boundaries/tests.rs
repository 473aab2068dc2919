//! A negative control for each rule. Rules for files are tested on texts, rules for dependencies on changed copies of the
//! graph of this workspace. The graph is read once for all tests.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, Node, Package, PackageId};

use super::dependencies::{self, line_of};
use super::{Violation, check, check_files};
use crate::process;
use crate::sources::{self, Source};

fn graph() -> Metadata {
    static GRAPH: OnceLock<Metadata> = OnceLock::new();
    GRAPH.get_or_init(|| process::metadata().expect("a graph")).clone()
}

fn id(graph: &Metadata, name: &str) -> PackageId {
    graph.packages.iter().find(|package| package.name == name).expect("in the graph").id.clone()
}

fn package<'a>(graph: &'a mut Metadata, name: &str) -> &'a mut Package {
    graph.packages.iter_mut().find(|package| package.name == name).expect("in the graph")
}

fn node<'a>(graph: &'a mut Metadata, id: &PackageId) -> &'a mut Node {
    let nodes = &mut graph.resolve.as_mut().expect("resolved").nodes;
    nodes.iter_mut().find(|node| node.id == *id).expect("in the graph")
}

/// Gives `package` a dependency that `owner` has.
fn depend(graph: &mut Metadata, package_name: &str, owner: &str, name: &str, kind: DependencyKind) {
    let (of, from, to) = (id(graph, package_name), id(graph, owner), id(graph, name));
    let dependency = package(graph, owner).dependencies.iter().find(|dependency| dependency.name == name);
    let mut dependency = dependency.expect("owned").clone();
    dependency.kind = kind;
    package(graph, package_name).dependencies.push(dependency);
    let mut edge = node(graph, &from).deps.iter().find(|edge| edge.pkg == to).expect("owned").clone();
    edge.dep_kinds.iter_mut().for_each(|how| how.kind = kind);
    node(graph, &of).deps.push(edge);
}

fn of_graph(graph: &Metadata) -> BTreeSet<Violation> {
    dependencies::check(&process::root(), graph).expect("checkable")
}

fn of_file(path: &str, text: &str) -> BTreeSet<Violation> {
    check_files(&[Source::new(path, text)])
}

fn shown<'a>(violations: impl IntoIterator<Item = &'a Violation>) -> Vec<String> {
    violations.into_iter().map(Violation::to_string).collect()
}

fn rules(violations: &BTreeSet<Violation>) -> BTreeSet<&str> {
    violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn workspace_has_no_violation() {
    assert_eq!(shown(&of_graph(&graph())), Vec::<String>::new());
    let sources = sources::rust().expect("readable");
    assert!(sources.len() > 100, "{} files", sources.len());
    assert_eq!(shown(&check(sources)), Vec::<String>::new());
}

#[test]
fn database_library_in_domain_is_reported_with_its_dependencies() {
    let mut graph = graph();
    depend(&mut graph, "domain", "persistence", "diesel", DependencyKind::Normal);
    let violations = of_graph(&graph);
    assert_eq!(rules(&violations), BTreeSet::from(["pure domain"]), "{:?}", shown(&violations));
    for found in ["diesel", "diesel -> r2d2"] {
        let is_reported = |it: &Violation| it.found == found && it.file == "domain/Cargo.toml";
        assert!(violations.iter().any(is_reported), "{:?}", shown(&violations));
    }
}

#[test]
fn forbidden_dependency_is_reported() {
    for (of, owner, name, kind, expected) in [
        ("persistence", "api", "actix-web", DependencyKind::Normal, Some("persistence only persists")),
        ("integrations", "persistence", "diesel", DependencyKind::Normal, Some("integrations only integrate")),
        ("paysim", "api", "persistence", DependencyKind::Build, Some("one composition root")),
        ("domain", "api", "slog-async", DependencyKind::Normal, Some("pure domain")),
        ("integrations", "api", "paysim", DependencyKind::Normal, Some("tools of the tests")),
        ("integrations", "api", "paysim", DependencyKind::Development, None),
        ("api", "persistence", "faultkit", DependencyKind::Normal, Some("tools of the tests")),
        ("api", "persistence", "faultkit", DependencyKind::Development, None),
    ] {
        let mut graph = graph();
        depend(&mut graph, of, owner, name, kind);
        let violations = of_graph(&graph);
        assert_eq!(rules(&violations), expected.into_iter().collect(), "{of} -> {name}: {:?}", shown(&violations));
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
        ("domain/src/lib.rs", "#[cfg(test)] fn a() {} fn b() { t.spawn(); }", "owned tasks", "spawn"),
    ] {
        let violations = of_file(file, &format!("//! A purpose.\n\n{line}\n"));
        let shown = shown(&violations);
        assert_eq!(shown.len(), 1, "{line}: {shown:?}");
        assert!(shown[0].starts_with(&format!("{file}:3: [{rule}] `{found}`: ")), "{line}: {shown:?}");
    }
}

#[test]
fn exempt_file_may_contain_forbidden_code() {
    for (file, line) in [
        ("api/src/app.rs", "use persistence::Database;"),
        ("api/src/clock.rs", "fn f() { SystemTime::now(); }"),
        ("persistence/src/database/job.rs", "fn f() { spawn_blocking(f); establish(g); }"),
        ("api/tests/kit/mod.rs", "fn f() { tokio::spawn(f); }"),
    ] {
        assert_eq!(shown(&of_file(file, &format!("//! A purpose.\n{line}\n"))), Vec::<String>::new());
    }
}

#[test]
fn comments_strings_and_tests_are_ignored() {
    let text = "//! A purpose.
        /// Not as JSON; never `tokio::spawn(f)`.
        const A: &str = \"Instant::now() http\"; // env::var
        #[cfg(test)]
        mod inner { fn f() { spawn(json); } }\n";
    assert_eq!(shown(&of_file("domain/src/lib.rs", text)), Vec::<String>::new());
}

#[test]
fn file_without_purpose_too_long_or_not_rust_is_reported() {
    let opening = "//! A purpose.\n";
    for (text, rule) in [
        (format!("use std::fmt;\n{opening}"), "story"),
        (String::new(), "story"),
        (opening.to_owned() + &"\n".repeat(500), "length"),
        (opening.to_owned() + "fn f( {\n", "syntax"),
    ] {
        assert_eq!(rules(&of_file("domain/src/money.rs", &text)), BTreeSet::from([rule]));
    }
    assert_eq!(shown(&of_file("domain/src/money.rs", &(opening.to_owned() + &"\n".repeat(499)))), Vec::<String>::new());
}
