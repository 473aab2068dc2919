//! Pointers to names in the code: a document that names a function in a file, or a method of a type, is right only while
//! the name is there.
//!
//! In a document, `` `path.rs::name` ``, `` `path.rs`, `name` ``, `` `path.rs` (`name`) `` and `` `name` in `path.rs` ``
//! (with or without a comma) point at a definition in that file. `` `Type::name` `` points at one anywhere in the workspace.

use std::collections::{BTreeMap, BTreeSet};

use crate::boundaries::code;
use crate::sources::Source;

/// What each file of the workspace defines.
pub struct Symbols(BTreeMap<String, Defined>);

#[derive(Default)]
struct Defined {
    /// Functions, types, constants, modules and macros.
    names: BTreeSet<String>,
    /// Every word of its code: variants and fields are among them.
    words: BTreeSet<String>,
    /// What it defines, implements or extends.
    types: BTreeSet<String>,
}

const DEFINING: [&str; 10] =
    ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union", "macro_rules"];
const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

impl Symbols {
    pub fn of(code: &[Source]) -> Symbols {
        Symbols(code.iter().map(|source| (source.path.clone(), Defined::by(&source.text))).collect())
    }

    /// The pointers of a document that lead nowhere, with their lines. Code blocks are left out.
    pub fn dead(&self, document: &Source) -> Vec<String> {
        let spans = spans(&document.text);
        let mut dead = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            let mut points_at = |path: &str, symbol: &str| {
                if !self.defines(path, symbol) {
                    dead.push(format!("{}:{}: no {symbol} in {path}", document.path, span.line));
                }
            };
            if let Some((path, symbol)) = span.text.split_once(".rs::") {
                points_at(&format!("{path}.rs"), symbol);
                continue;
            }
            let Some(symbol) = symbol(&span.text) else { continue };
            let before = at.checked_sub(1).map(|before| &spans[before]).filter(|before| is_path(&before.text));
            let after = spans.get(at + 1).filter(|after| is_path(&after.text));
            match (before, after) {
                (Some(before), _) if matches!(span.gap.as_str(), ", " | " (") => points_at(&before.text, symbol),
                (_, Some(after)) if matches!(after.gap.as_str(), " in " | ", in ") => points_at(&after.text, symbol),
                _ if symbol.contains("::") && !self.defines_somewhere(symbol) => {
                    dead.push(format!("{}:{}: no {symbol} in the workspace", document.path, span.line));
                }
                _ => {}
            }
        }
        dead
    }

    fn defines(&self, path: &str, symbol: &str) -> bool {
        self.0.get(path).is_some_and(|defined| defined.has(symbol))
    }

    fn defines_somewhere(&self, symbol: &str) -> bool {
        self.0.values().any(|defined| defined.has(symbol))
    }
}

impl Defined {
    /// A file that is not Rust defines nothing; `cargo xtask boundaries` reports it.
    fn by(text: &str) -> Defined {
        let mut defined = Defined::default();
        let tokens = code::tokens(text).unwrap_or_default();
        let mut keyword = String::new();
        for token in tokens.iter().filter(|token| token.is_word || token.text == "{" || token.text == "impl") {
            let word = token.text.as_str();
            // Everything between `impl` and its brace is named by it.
            if keyword == "impl" && word != "{" {
                defined.types.insert(word.to_owned());
            } else {
                if TYPES.contains(&keyword.as_str()) {
                    defined.types.insert(word.to_owned());
                }
                if DEFINING.contains(&keyword.as_str()) {
                    defined.names.insert(word.to_owned());
                }
                word.clone_into(&mut keyword);
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

/// Text between backticks, and the text between it and the one before.
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
    // The path of another crate is not ours to check.
    let is_ours = parts.len() == 1 || parts[0].starts_with(char::is_uppercase);
    (is_ours && parts.into_iter().all(is_word)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "pub struct Database { pool: Pool }
        impl Database { pub fn run(&self) { let count = 1; } }
        impl Port for Sql { fn read(&self) {} }
        enum Stage { Running, Abandoned }
        macro_rules! on_backend { () => {} }
        const LIMIT: u32 = 1;";

    fn dead(text: &str) -> Vec<String> {
        let symbols = Symbols(BTreeMap::from([("a/b.rs".to_owned(), Defined::by(CODE))]));
        symbols.dead(&Source { path: "docs/X.md".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn pointer_to_a_name_that_is_there_is_alive() {
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
            "```\n`a/b.rs::nothing`\n```",
            "`a/b.rs` has `nothing`; `nothing` and `a/b.rs`; `a/b.rs` | `nothing`",
        ] {
            assert_eq!(dead(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn pointer_to_a_name_that_is_gone_is_reported_with_its_line() {
        for (text, expected) in [
            ("x\n`a/b.rs::settle`", "docs/X.md:2: no settle in a/b.rs"),
            ("`a/b.rs::Database::settle`", "docs/X.md:1: no Database::settle in a/b.rs"),
            ("`a/b.rs::count`", "docs/X.md:1: no count in a/b.rs"),
            ("`a/c.rs::run`", "docs/X.md:1: no run in a/c.rs"),
            ("`a/b.rs`, `settle`", "docs/X.md:1: no settle in a/b.rs"),
            ("`a/b.rs` (`Other::run`)", "docs/X.md:1: no Other::run in a/b.rs"),
            ("\n`settle` in\n`a/b.rs`", "docs/X.md:2: no settle in a/b.rs"),
            ("`Database::settle(&ctx)`", "docs/X.md:1: no Database::settle in the workspace"),
            ("`Outbound::run`", "docs/X.md:1: no Outbound::run in the workspace"),
        ] {
            assert_eq!(dead(text), [expected], "{text}");
        }
    }
}
