//! Entries that the documents must have: each module in the code map, each error code in the table of errors.

use std::collections::BTreeSet;

use crate::boundaries::code;
use crate::sources::Source;

const CODE_MAP: &str = "docs/ARCHITECTURE.md";
const ERRORS: &str = "docs/ERRORS.md";
/// Crates whose modules the code map lists.
const MAPPED: [&str; 4] = ["domain/src/", "persistence/src/", "integrations/src/", "api/src/"];
/// Functions whose first string literal is an error code.
const MAKERS: [&str; 3] = ["conflict", "bad_request", "Problem::new"];

/// The entries that are missing, each with the remedy.
pub fn missing(code: &[Source], documents: &[Source]) -> Vec<String> {
    let text = |path: &str| documents.iter().find(|source| source.path == path).map_or("", |source| &source.text);
    let modules = code.iter().filter_map(|source| module(&source.path)).collect::<BTreeSet<_>>().into_iter();
    let unmapped = modules.filter(|module| !text(CODE_MAP).contains(module.as_str()));
    let shop = code.iter().filter(|source| source.path.starts_with("api/src/"));
    let codes: BTreeSet<String> = shop.flat_map(error_codes).collect();
    let unlisted = codes.iter().filter(|code| !text(ERRORS).contains(&format!("`{code}`")));
    let unmapped = unmapped.map(|module| format!("{CODE_MAP}: its code map does not name `{module}`: add a row"));
    unmapped.chain(unlisted.map(|code| format!("{ERRORS}: does not name the error code `{code}`: add a row"))).collect()
}

/// The top-level module of a file: a folder with a `/` at the end, or the file.
fn module(path: &str) -> Option<String> {
    let start = MAPPED.into_iter().find(|start| path.starts_with(start))?;
    let inside = &path[start.len()..];
    match inside.split_once('/') {
        Some((folder, _)) => Some(format!("{start}{folder}/")),
        None if ["lib.rs", "main.rs"].contains(&inside) || code::is_test_file(inside) => None,
        None => Some(path.to_owned()),
    }
}

fn error_codes(source: &Source) -> BTreeSet<String> {
    let makers = MAKERS.map(|maker| code::pattern(&format!("{maker}(")));
    let tokens = source.tokens_or_none();
    let mut codes = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        if !token.is_test && makers.iter().any(|maker| code::begin_with(&tokens[at..], maker)) {
            let literals = tokens[at..].iter().take_while(|token| token.text != ";");
            codes.extend(literals.filter_map(|token| error_code(&token.text)).take(1));
        }
    }
    codes
}

/// The value of a literal such as `"checkout_not_ready"`.
fn error_code(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_code = !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_');
    is_code.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_missing_in_the_code_map_is_reported() {
        let code = ["domain/src/lib.rs", "domain/src/cart/mod.rs", "domain/src/cart/model.rs", "api/src/app.rs"];
        let code: Vec<Source> = code.map(|path| Source::new(path, "")).into();
        let missing = |map: &str| missing(&code, &[Source::new(CODE_MAP, map)]);
        assert_eq!(missing("| `domain/src/cart/` | baskets |\n| `api/src/app.rs` | root |"), Vec::<String>::new());
        let expected = "docs/ARCHITECTURE.md: its code map does not name `domain/src/cart/`: add a row";
        assert_eq!(missing("`api/src/app.rs`, `persistence/src/cart/`"), [expected]);
    }

    #[test]
    fn error_code_missing_in_the_table_is_reported() {
        let text = "fn f() { Problem::bad_request(\"not_ready\", &message.content);
            conflict(\"in_use\", \"The key is in use\"); Problem::new(StatusCode::GONE, \"gone\", \"Gone\");
            conflict(code, content); log(\"not_a_code\"); }
            #[cfg(test)] mod tests { fn g() { conflict(\"only_a_test\", \"\"); } }";
        let code = [Source::new("api/src/http/problem.rs", text)];
        let missing =
            |table: &str| missing(&code, &[Source::new(ERRORS, table), Source::new(CODE_MAP, "api/src/http/")]);
        assert_eq!(missing("| 400 | `not_ready` |\n| 409 | `in_use` |\n| 410 | `gone` |"), Vec::<String>::new());
        let expected = "docs/ERRORS.md: does not name the error code `in_use`: add a row";
        assert_eq!(missing("| 400 | `not_ready` |\n| 410 | `gone` | in_use"), [expected]);
    }
}
