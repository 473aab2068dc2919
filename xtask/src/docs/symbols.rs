//! Names of files, functions, types and tests in the documents. Each must exist in the code.
//!
//! `` `path.rs` `` names a file. `` `path.rs::name` ``, `` `path.rs`, `name` ``, `` `path.rs` (`name`) `` and
//! `` `name` in `path.rs` `` (with or without a comma) name a definition in that file. `` `Type::name` `` names a definition
//! anywhere in the workspace. In the page of faults, `` `path.rs::name` `` names a test.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

/// The page of faults. Each of its sections names the tests that provoke the fault.
pub const FAILURES: &str = "docs/FAILURES.md";

/// What each file of the workspace defines.
pub struct Symbols(BTreeMap<String, Defined>);

#[derive(Default)]
struct Defined {
    /// Functions, types, constants, modules and macros.
    names: BTreeSet<String>,
    /// Every word of the code, including variants and fields.
    words: BTreeSet<String>,
    /// The types that the file defines, implements or extends.
    types: BTreeSet<String>,
    tests: BTreeSet<String>,
}

const DEFINING: [&str; 10] =
    ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union", "macro_rules"];
const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];
/// The macros of the test kits that make a test of each function in their argument.
const TEST_LISTS: [&str; 4] = ["on_both_engines", "on_sqlite", "on_postgres", "on_collated_postgres"];

impl Symbols {
    pub fn of(code: &[Source]) -> Symbols {
        Symbols(code.iter().map(|source| (source.path.clone(), Defined::by(source))).collect())
    }

    /// The names in a document that do not exist, with their lines. Code blocks are ignored.
    pub fn missing(&self, document: &Source) -> Vec<String> {
        let spans = spans(&document.text);
        let mut missing = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            let mut report = |what: String| missing.push(format!("{}:{}: {what}", document.path, span.line));
            let mut must_define = |path: &str, symbol: &str| {
                if !self.0.get(path).is_some_and(|defined| defined.has(symbol)) {
                    report(format!("no {symbol} in {path}"));
                }
            };
            if let Some((path, name)) = span.text.split_once(".rs::") {
                let path = format!("{path}.rs");
                if document.path != FAILURES {
                    must_define(&path, name);
                } else if !self.0.get(&path).is_some_and(|defined| defined.tests.contains(name)) {
                    report(format!("no test {name} in {path}"));
                }
            } else if is_path(&span.text) && !self.0.contains_key(&span.text) {
                report(format!("no file {}", span.text));
            } else if let Some(symbol) = symbol(&span.text) {
                let before = at.checked_sub(1).map(|before| &spans[before]).filter(|before| is_path(&before.text));
                let after = spans.get(at + 1).filter(|after| is_path(&after.text));
                match (before, after) {
                    (Some(before), _) if matches!(span.gap.as_str(), ", " | " (") => must_define(&before.text, symbol),
                    (_, Some(after)) if matches!(after.gap.as_str(), " in " | ", in ") => {
                        must_define(&after.text, symbol)
                    }
                    _ if symbol.contains("::") && !self.0.values().any(|defined| defined.has(symbol)) => {
                        report(format!("no {symbol} in the workspace"));
                    }
                    _ => {}
                }
            }
        }
        missing
    }
}

impl Defined {
    fn by(source: &Source) -> Defined {
        let mut defined = Defined::default();
        let (tokens, mut keyword, mut is_marked) = (source.tokens_or_none(), "", false);
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        for (at, token) in tokens.iter().enumerate() {
            let word = token.text.as_str();
            match word {
                // `#[test]` and `#[tokio::test]` apply to the next function.
                "test" if text(at + 1) == "]" => is_marked = true,
                "fn" if std::mem::take(&mut is_marked) => drop(defined.tests.insert(text(at + 1).to_owned())),
                list if TEST_LISTS.contains(&list) && text(at + 1) == "!" => {
                    let listed = tokens[at + 1..].iter().take_while(|token| token.text != ")");
                    defined.tests.extend(listed.filter(|token| token.is_word).map(|token| token.text.clone()));
                }
                _ => {}
            }
            if !token.is_word && word != "{" {
                continue;
            }
            // The words between `impl` and its brace are types.
            if TYPES.contains(&keyword) || (keyword == "impl" && word != "{") {
                defined.types.insert(word.to_owned());
            }
            if DEFINING.contains(&keyword) {
                defined.names.insert(word.to_owned());
            }
            if keyword != "impl" || word == "{" {
                keyword = word;
            }
            defined.words.insert(word.to_owned());
        }
        defined
    }

    fn has(&self, symbol: &str) -> bool {
        match symbol.rsplit_once("::") {
            Some((of, name)) => {
                let of = of.rsplit("::").next().unwrap_or(of);
                (self.types.contains(of) || self.names.contains(of)) && self.words.contains(name)
            }
            None => self.names.contains(symbol),
        }
    }
}

/// A text in backticks, and the text between it and the span before.
struct Span {
    line: usize,
    text: String,
    gap: String,
}

fn spans(text: &str) -> Vec<Span> {
    let (mut spans, mut gap, mut in_code) = (Vec::new(), String::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            gap.push('\n');
        } else if !in_code {
            for (index, part) in line.split('`').enumerate() {
                if index % 2 == 0 {
                    gap.push_str(if index == 0 { part.trim_start() } else { part });
                } else {
                    spans.push(Span { line: number + 1, text: part.to_owned(), gap: std::mem::take(&mut gap) });
                }
            }
            gap.push(' ');
        }
    }
    spans
}

fn is_path(text: &str) -> bool {
    text.ends_with(".rs") && text.contains('/') && !text.contains(['<', '*', '{', ' '])
}

/// A name, or a type and a name: `settle`, `Database::run`, `Operation::write("module.verb")`, `on_backend!`.
fn symbol(text: &str) -> Option<&str> {
    let name = text.split('(').next().unwrap_or(text).trim_end_matches('!');
    let is_word = |part: &str| {
        let mut characters = part.chars();
        part.contains(char::is_alphabetic)
            && characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && characters.all(|next| next.is_alphanumeric() || next == '_')
    };
    let parts: Vec<&str> = name.split("::").collect();
    // Paths into other crates are not checked.
    let is_local = parts.len() == 1 || parts[0].starts_with(char::is_uppercase);
    (is_local && parts.into_iter().all(is_word)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "pub struct Database { pool: Pool }
        impl Database { pub fn run(&self) { let count = 1; } }
        impl Port for Sql { fn read(&self) {} }
        enum Stage { Running, Abandoned }
        macro_rules! on_backend { () => {} }
        const LIMIT: u32 = 1;
        #[test] fn a() { d(c); } #[tokio::test] async fn b() {} fn c() {} #[cfg(test)] mod tests { fn d() {} }
        on_both_engines!(e, f,); kit::on_postgres!(g); // on_sqlite!(h)
        fn e() { call(i, c) }";

    fn missing(document: &str, text: &str) -> Vec<String> {
        Symbols::of(&[Source::new("a/b.rs", CODE)]).missing(&Source::new(document, text))
    }

    #[test]
    fn existing_name_is_accepted() {
        for text in [
            "`a/b.rs::Database`",
            "`a/b.rs::Database::run`",
            "`a/b.rs`, `Database::run`",
            "| 4 | `a/b.rs`, `Sql::read` | permit, `count` |",
            "`a/b.rs` (`Stage::Running`)",
            "`LIMIT` in `a/b.rs`, `Stage`, in `a/b.rs`; no `_` in `a/b.rs`",
            "`Stage` in\n  `a/b.rs`",
            "`on_backend!` in `a/b.rs`",
            "`Database::run(&ctx, body)`",
            "`slog::Fuse`, `tokio::spawn`",
            "`b.rs`, `a/<module>/mod.rs`, a/c.rs",
            "```\n`a/b.rs::nothing`\n```",
            "`a/b.rs` has `nothing`; `nothing` and `a/b.rs`; `a/b.rs` | `nothing`",
        ] {
            assert_eq!(missing("docs/X.md", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn missing_name_is_reported_with_its_line() {
        for (text, expected) in [
            ("x\n`a/b.rs::settle`", "docs/X.md:2: no settle in a/b.rs"),
            ("`a/b.rs::Database::settle`", "docs/X.md:1: no Database::settle in a/b.rs"),
            ("`a/b.rs::count`", "docs/X.md:1: no count in a/b.rs"),
            ("`a/c.rs`", "docs/X.md:1: no file a/c.rs"),
            ("`a/c.rs::run`", "docs/X.md:1: no run in a/c.rs"),
            ("`a/b.rs`, `settle`", "docs/X.md:1: no settle in a/b.rs"),
            ("`a/b.rs` (`Other::run`)", "docs/X.md:1: no Other::run in a/b.rs"),
            ("\n`settle` in\n`a/b.rs`", "docs/X.md:2: no settle in a/b.rs"),
            ("`Database::settle(&ctx)`", "docs/X.md:1: no Database::settle in the workspace"),
            ("`Outbound::run`", "docs/X.md:1: no Outbound::run in the workspace"),
        ] {
            assert_eq!(missing("docs/X.md", text), [expected], "{text}");
        }
    }

    #[test]
    fn name_in_the_page_of_faults_that_is_no_test_is_reported() {
        for name in ["a", "b", "e", "f", "g"] {
            assert_eq!(missing(FAILURES, &format!("`a/b.rs::{name}`")), Vec::<String>::new());
        }
        for name in ["c", "d", "h", "i", "run"] {
            let expected = format!("docs/FAILURES.md:1: no test {name} in a/b.rs");
            assert_eq!(missing(FAILURES, &format!("`a/b.rs::{name}`")), [expected]);
        }
    }
}
