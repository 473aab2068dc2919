//! Checks that the files and definitions that the documents name exist in the code. A test is a definition too. If it loses
//! its `#[test]`, clippy reports it as dead code.
//!
//! `` `path.rs` `` names a file. `` `path.rs::name` ``, `` `path.rs`, `name` ``, `` `path.rs` (`name`) `` and
//! `` `name` in `path.rs` `` (with or without a comma) name a definition in that file. `` `Type::name` `` names a definition
//! anywhere in the workspace.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

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
}

const DEFINING: [&str; 10] =
    ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union", "macro_rules"];
const TYPES: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

impl Symbols {
    pub fn of(code: &[Source]) -> Symbols {
        Symbols(code.iter().map(|source| (source.path.clone(), Defined::by(source))).collect())
    }

    /// The names in a document that do not exist, with their lines.
    pub fn missing(&self, document: &Source) -> Vec<String> {
        let spans = spans(document);
        let mistakes = (0..spans.len()).filter_map(|at| Some((at, self.mistake(&spans, at)?)));
        mistakes.map(|(at, mistake)| format!("{}:{}: {mistake}", document.path, spans[at].line)).collect()
    }

    fn mistake(&self, spans: &[Span<'_>], at: usize) -> Option<String> {
        let text = spans[at].text;
        let must_define = |path: &str, symbol: &str| {
            let is_defined = self.0.get(path).is_some_and(|defined| defined.has(symbol));
            (!is_defined).then(|| format!("no {symbol} in {path}"))
        };
        if let Some((path, name)) = text.split_once(".rs::") {
            return must_define(&format!("{path}.rs"), name);
        }
        if is_path(text) {
            return (!self.0.contains_key(text)).then(|| format!("no file {text}"));
        }
        let symbol = symbol(text)?;
        let before =
            at.checked_sub(1).map(|before| &spans[before]).filter(|_| [",", "("].contains(&spans[at].gap.as_str()));
        let after = spans.get(at + 1).filter(|after| ["in", ", in"].contains(&after.gap.as_str()));
        match before.into_iter().chain(after).find(|neighbour| is_path(neighbour.text)) {
            Some(path) => must_define(path.text, symbol),
            None => {
                let is_unknown = symbol.contains("::") && !self.0.values().any(|defined| defined.has(symbol));
                is_unknown.then(|| format!("no {symbol} in the workspace"))
            }
        }
    }
}

impl Defined {
    fn by(source: &Source) -> Defined {
        let mut defined = Defined::default();
        let (mut is_impl, mut keyword) = (false, "");
        for token in &source.tokens {
            let word = token.text.as_str();
            // The words between `impl` and its brace are types.
            is_impl = (is_impl || word == "impl") && word != "{";
            if token.is_word {
                if is_impl || TYPES.contains(&keyword) {
                    defined.types.insert(word.to_owned());
                }
                if DEFINING.contains(&keyword) {
                    defined.names.insert(word.to_owned());
                }
                defined.words.insert(word.to_owned());
                keyword = word;
            }
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

/// A text in backticks.
struct Span<'a> {
    line: usize,
    text: &'a str,
    /// The text between the previous span and this one.
    gap: String,
}

fn spans(document: &Source) -> Vec<Span<'_>> {
    let (mut spans, mut gap) = (Vec::new(), String::new());
    for (line, prose) in document.prose() {
        for (index, text) in prose.trim().split('`').enumerate() {
            match index % 2 {
                0 => gap.push_str(text),
                _ => spans.push(Span { line, text, gap: std::mem::take(&mut gap).trim().to_owned() }),
            }
        }
        gap.push(' ');
    }
    spans
}

fn is_path(text: &str) -> bool {
    text.ends_with(".rs") && text.contains('/') && !text.contains(['<', '*', '{', ' '])
}

/// Returns the name that a text such as `settle`, `Database::run`, `Operation::write("module.verb")` or `on_backend!`
/// begins with. `None` if the text is no name, or if the name is a path into another crate.
fn symbol(text: &str) -> Option<&str> {
    let name = text.split('(').next().unwrap_or(text).trim_end_matches('!');
    let is_word = |part: &str| {
        part.starts_with(char::is_alphabetic) && part.chars().all(|next| next.is_alphanumeric() || next == '_')
    };
    // Paths into other crates are not checked.
    let is_local = !name.contains("::") || name.starts_with(char::is_uppercase);
    (is_local && name.split("::").all(is_word)).then_some(name)
}

#[cfg(test)]
#[path = "symbols_tests.rs"]
mod tests;
