//! Checks that the code map has an entry for each module, and that the glossary explains each module of the domain.

use std::collections::BTreeSet;

use crate::code;
use crate::sources::Source;

const CODE_MAP: &str = "docs/ARCHITECTURE.md";
const GLOSSARY: &str = "docs/GLOSSARY.md";
/// Crates whose modules the code map lists.
const MAPPED: [&str; 4] = ["domain/src/", "persistence/src/", "integrations/src/", "api/src/"];
/// Helpers of the domain that need no entry in the glossary.
const UNEXPLAINED: [&str; 1] = ["domain/src/text.rs"];

/// Returns the missing entries. Each text also says how to correct the document.
pub fn missing(code: &[Source], documents: &[Source]) -> Vec<String> {
    let text = |path: &str| documents.iter().find(|source| source.path == path).map_or("", |source| &source.text);
    let (map, glossary) = (text(CODE_MAP), text(GLOSSARY));
    let modules: BTreeSet<String> = code.iter().filter_map(|source| module(&source.path)).collect();
    let unmapped = modules.iter().filter(|module| !map.contains(module.as_str()));
    let unmapped = unmapped.map(|module| format!("{CODE_MAP}: its code map does not name `{module}`: add a row"));
    let of_domain = modules.iter().filter(|module| module.starts_with("domain/"));
    let unexplained =
        of_domain.filter(|module| !UNEXPLAINED.contains(&module.as_str()) && !glossary.contains(&format!("`{module}")));
    let unexplained = unexplained.map(|module| {
        format!("{GLOSSARY}: no row names `{module}`: add a row that explains the main term of this module")
    });
    unmapped.chain(unexplained).collect()
}

/// The top-level module that contains a file: a folder with a `/` at the end, or the file itself. `None` if the code
/// map need not list the file.
fn module(path: &str) -> Option<String> {
    let start = MAPPED.into_iter().find(|start| path.starts_with(start))?;
    let inside = &path[start.len()..];
    match inside.split_once('/') {
        Some((folder, _)) => Some(format!("{start}{folder}/")),
        None if ["lib.rs", "main.rs"].contains(&inside) || code::is_test_file(inside) => None,
        None => Some(path.to_owned()),
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
