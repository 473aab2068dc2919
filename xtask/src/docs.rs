//! `cargo xtask docs`: documents that are generated, and documents that point at files and names which must exist.

mod coverage;
mod symbols;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::boundaries::code;
use crate::process;
use crate::sources::{self, Source};
use symbols::Symbols;

const CONFIGURATION: &str = "docs/CONFIGURATION.md";

#[derive(clap::Args)]
pub struct Args {
    /// Change nothing. A test of the api compares the generated page: this would have to build the api once more.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    std::fs::write(process::root().join(CONFIGURATION), configuration()?)?;
    println!("wrote {CONFIGURATION}");
    check()
}

fn configuration() -> Result<String> {
    let mut command =
        process::cargo(&["run", "--quiet", "-p", "api", "--bin", "tuckshop", "--", "config", "--markdown"]);
    let text = process::output(&mut command).context("the api does not describe its configuration")?;
    Ok(text + "\n")
}

pub fn check() -> Result<()> {
    let root = process::root();
    let all = sources::with_extension(&root, "md")?;
    let code = sources::with_extension(&root, "rs")?;
    let documents = all.iter().filter(|source| source.path == "README.md" || source.path.starts_with("docs/"));
    let symbols = Symbols::of(&code);
    let pointers = documents.flat_map(|document| {
        let names = match document.path.as_str() {
            FAILURES => unproved(&root, document),
            _ => symbols.dead(document),
        };
        [dead_pointers(&root, document), names].concat()
    });
    let mistakes: Vec<String> = pointers.chain(coverage::missing(&code, &all)).collect();
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} pointers to what does not exist, or from which something is missing", mistakes.len());
    }
    Ok(())
}

/// The page of faults: each of its sections names the tests that provoke the fault.
const FAILURES: &str = "docs/FAILURES.md";

/// Tests that the page names and that do not exist, and faults that name none. A fault is a section, `### PG1: title`.
fn unproved(root: &Path, document: &Source) -> Vec<String> {
    let mut unproved = Vec::new();
    let mut without_test = None;
    let close = |without_test: Option<(usize, &str)>, unproved: &mut Vec<String>| {
        unproved.extend(without_test.map(|(line, id)| format!("{}:{line}: {id} names no test", document.path)));
    };
    for (number, line) in document.text.lines().enumerate() {
        if line.starts_with('#') {
            close(without_test.take(), &mut unproved);
            without_test = fault_id(line).map(|id| (number + 1, id));
        }
        for (path, name) in named_tests(line) {
            without_test = None;
            if !is_test(root, path, name) {
                unproved.push(format!("{}:{}: no test {name} in {path}", document.path, number + 1));
            }
        }
    }
    close(without_test, &mut unproved);
    unproved
}

/// The id in the heading of a fault: capital letters and a number, followed by a colon.
fn fault_id(heading: &str) -> Option<&str> {
    let (id, _) = heading.strip_prefix("### ")?.split_once(':')?;
    (id.starts_with(|first: char| first.is_ascii_uppercase()) && id.ends_with(char::is_numeric)).then_some(id)
}

/// Backticked `path.rs::name`.
fn named_tests(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once(".rs::").map(|(path, name)| (&text[..path.len() + 3], name)))
}

/// A function of that name which is marked as a test, or named by a macro that makes tests of its list.
fn is_test(root: &Path, path: &str, name: &str) -> bool {
    std::fs::read_to_string(root.join(path)).is_ok_and(|text| tests(&text).contains(name))
}

/// The macros of the test kits that make a test of each function they are given.
const TEST_LISTS: [&str; 3] = ["on_both_engines", "on_sqlite", "on_postgres"];

fn tests(text: &str) -> BTreeSet<String> {
    let tokens = code::tokens(text).unwrap_or_default();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut tests, mut is_marked) = (BTreeSet::new(), false);
    for at in 0..tokens.len() {
        match text(at) {
            // `#[test]`, `#[tokio::test]`: it speaks of the next function.
            "test" if text(at + 1) == "]" => is_marked = true,
            "fn" if std::mem::take(&mut is_marked) => drop(tests.insert(text(at + 1).to_owned())),
            list if TEST_LISTS.contains(&list) && text(at + 1) == "!" => {
                let listed = tokens[at..].iter().take_while(|token| token.text != ")");
                tests.extend(listed.skip(1).filter(|token| token.is_word).map(|token| token.text.clone()));
            }
            _ => {}
        }
    }
    tests
}

fn dead_pointers(root: &Path, document: &Source) -> Vec<String> {
    let here = root.join(&document.path);
    let folder = here.parent().unwrap_or(root);
    let mut dead = Vec::new();
    let mut in_code = false;
    for (number, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let links = relative_links(line).filter(|link| !folder.join(link).exists());
            let paths = code_paths(line).filter(|path| !root.join(path).is_file());
            dead.extend(links.chain(paths).map(|target| format!("{}:{}: {target}", document.path, number + 1)));
        }
    }
    dead
}

fn relative_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.filter_map(|target| target.split('#').next()).filter(|path| !path.is_empty())
}

/// Backticked paths of Rust files, from the root; `<module>` and `*` stand for something else and are not paths.
fn code_paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.ends_with(".rs") && text.contains('/') && !text.contains(['<', '*', '{', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pointers_into_the_repository_are_followed() {
        let line = "[a](PATTERNS.md#ports) [b](https://example.org/x.md) [c](#here) [d](../README.md \"title\")";
        assert_eq!(relative_links(line).collect::<Vec<_>>(), ["PATTERNS.md", "../README.md"]);
        let line = "`api/src/app.rs`, `app.rs`, `domain/src/<module>/mod.rs`, `api/src/app.rs::build`, xtask/src/x.rs";
        assert_eq!(code_paths(line).collect::<Vec<_>>(), ["api/src/app.rs"]);
    }

    #[test]
    fn a_dead_pointer_is_reported_with_its_line() {
        let text = "# Title\n\nSee [x](nowhere.md) and `xtask/src/nowhere.rs`, not `xtask/src/docs.rs`.\n\
                    ```\n[y](nor-here.md)\n```\n";
        let document = Source { path: "docs/X.md".to_owned(), text: text.to_owned() };
        let expected = ["docs/X.md:3: nowhere.md", "docs/X.md:3: xtask/src/nowhere.rs"];
        assert_eq!(dead_pointers(&process::root(), &document), expected);
    }

    #[test]
    fn tests_are_functions_that_are_marked_or_listed() {
        let text =
            "#[test] fn a() { d(c); } #[tokio::test] async fn b() {} fn c() {} #[cfg(test)] mod tests { fn d() {} }
            on_both_engines!(e, f,); kit::on_postgres!(g); // on_sqlite!(h)
            fn e() { call(i, c) }";
        assert_eq!(tests(text), ["a", "b", "e", "f", "g"].map(str::to_owned).into());
    }

    #[test]
    fn a_fault_is_proved_by_tests_that_exist() {
        let text = "## Postgres\n\n### PG1: Down\n\n- `xtask/src/docs.rs::a_fault_is_proved_by_tests_that_exist`\n\n\
                    ### PG2: Slow\n\n- `xtask/src/docs.rs::is_test`\n\n### PG3: Silent\n\nNone yet.\n\n\
                    ### PG4: Reset\n\n- `xtask/src/nowhere.rs::any`\n\n### PG5: Lost\n";
        let document = Source { path: FAILURES.to_owned(), text: text.to_owned() };
        let expected = [
            "docs/FAILURES.md:9: no test is_test in xtask/src/docs.rs",
            "docs/FAILURES.md:11: PG3 names no test",
            "docs/FAILURES.md:17: no test any in xtask/src/nowhere.rs",
            "docs/FAILURES.md:19: PG5 names no test",
        ];
        assert_eq!(unproved(&process::root(), &document), expected);
    }

    #[test]
    fn everything_that_the_book_points_at_exists() {
        check().expect("no dead pointer");
    }
}
