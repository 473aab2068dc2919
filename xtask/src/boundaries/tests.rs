//! Each wall is shown to stand by running against it in a copy of the workspace.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

use super::{Network, Violation, check};
use crate::process;

/// Sources and manifests: what cargo needs to describe the workspace, and nothing built.
fn copy_of_workspace() -> TempDir {
    let copy = tempfile::tempdir().expect("temporary directory");
    copy_files(&process::root(), copy.path());
    copy
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("readable").is_dir() {
            if !name.starts_with('.') && name != "target" {
                copy_files(&entry.path(), &to.join(name));
            }
        } else if name.ends_with(".rs") || name.ends_with(".toml") || name == "Cargo.lock" {
            std::fs::copy(entry.path(), to.join(name)).expect("writable");
        }
    }
}

/// What a change of one file adds to the report, so that these tests tell of the walls and not of the workspace.
fn added_by(path: &str, change: impl FnOnce(String) -> String) -> Vec<Violation> {
    let copy = copy_of_workspace();
    let before = violations(copy.path());
    let file = copy.path().join(path);
    let text = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, change(text)).expect("writable");
    violations(copy.path()).into_iter().filter(|violation| !before.contains(violation)).collect()
}

fn violations(root: &Path) -> BTreeSet<Violation> {
    check(root, Network::Forbidden).expect("checkable")
}

fn told<'a>(violations: impl IntoIterator<Item = &'a Violation>) -> Vec<String> {
    violations.into_iter().map(Violation::to_string).collect()
}

fn rules(violations: &[Violation]) -> BTreeSet<&str> {
    violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn the_workspace_as_it_stands_is_clean() {
    assert_eq!(told(&violations(copy_of_workspace().path())), Vec::<String>::new());
}

#[test]
fn a_database_library_in_the_domain_is_told() {
    let mut line = 0;
    let added = added_by("domain/Cargo.toml", |text| {
        let text = text.replace("[dependencies]\n", "[dependencies]\ndiesel.workspace = true\n");
        line = text.lines().position(|line| line.starts_with("diesel")).expect("just added") + 1;
        text
    });
    assert_eq!(rules(&added), BTreeSet::from(["pure domain"]), "{:?}", told(&added));
    assert!(added.iter().any(|it| it.found == "diesel" && it.line == line), "{:?}", told(&added));
    assert!(added.iter().any(|it| it.found == "diesel -> r2d2"), "{:?}", told(&added));
}

#[test]
fn a_tool_of_the_tests_in_the_shop_is_told_unless_only_tests_use_it() {
    for tool in ["paysim", "faultkit"] {
        for (section, expected) in [("[dependencies]", vec!["tools of the tests"]), ("[dev-dependencies]", vec![])] {
            let added = added_by("integrations/Cargo.toml", |text| {
                let without: Vec<&str> = text.lines().filter(|line| !line.starts_with(tool)).collect();
                without.join("\n").replace(section, &format!("{section}\n{tool}.workspace = true")) + "\n"
            });
            assert_eq!(rules(&added), expected.into_iter().collect(), "{:?}", told(&added));
        }
    }
}

#[test]
fn a_line_on_the_wrong_side_of_a_wall_is_told_once() {
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
        ("domain/src/lib.rs", "#[cfg(test)] fn a() {} fn b() { t.spawn(); }", "owned tasks", "spawn"),
    ] {
        let mut place = 0;
        let added = added_by(file, |text| {
            place = text.lines().count() + 1;
            format!("{text}{line}\n")
        });
        let told = told(&added);
        assert_eq!(told.len(), 1, "{line}: {told:?}");
        assert!(told[0].starts_with(&format!("{file}:{place}: [{rule}] `{found}`: ")), "{line}: {told:?}");
    }
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let added = added_by("domain/src/lib.rs", |text| {
        format!(
            "{text}
            /// Not as JSON; never `tokio::spawn(f)`.
            const A: &str = \"Instant::now() http\"; // env::var
            #[cfg(test)]
            mod walls {{ fn f() {{ spawn(json); }} }}\n"
        )
    });
    assert_eq!(told(&added), Vec::<String>::new());
}

#[test]
fn a_file_without_a_story_and_a_file_with_too_many_are_told() {
    let added = added_by("domain/src/money.rs", |text| format!("use std::fmt;\n{text}"));
    assert!(rules(&added).contains("story"), "{:?}", told(&added));
    let added = added_by("domain/src/money.rs", |text| text + &"\n".repeat(500));
    assert_eq!(rules(&added), BTreeSet::from(["length"]));
}
