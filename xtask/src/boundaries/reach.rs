//! Finds files that no crate compiles. A test in such a file never runs, and no other check reports the file.

use std::collections::BTreeSet;

use super::violation::Violation;
use crate::sources::Source;

/// The files that cargo does not compile by itself and that no `mod` item names.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    let named: BTreeSet<String> = sources.iter().flat_map(modules).collect();
    let lost = sources.iter().filter(|source| !is_root(&source.path) && !named.contains(&source.path));
    let violation = |source: &Source| Violation {
        file: source.path.clone(),
        line: 1,
        rule: "compiled",
        found: source.path.rsplit('/').next().unwrap_or_default().to_owned(),
        reason: "no `mod` names this file, so it is neither built nor tested: add the `mod` or delete the file",
    };
    lost.map(violation).collect()
}

/// Whether cargo compiles this file without a `mod` that names it.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "src", "lib.rs" | "main.rs"]
            | [.., "build.rs"]
            | [.., "tests" | "benches" | "examples", _]
            | [.., "tests" | "benches" | "examples", _, "main.rs"]
    )
}

/// The possible paths of the modules that a file declares. A declaration inside an inline module is treated as if it
/// were outside.
fn modules(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let text = |ahead: usize| source.tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if token.text == "mod" && text(2) == ";" {
            let name = text(1);
            for folder in [folder.to_owned(), format!("{folder}/{stem}")] {
                found.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
            }
        } else if token.text == "path" && text(1) == "=" {
            found.push(resolved(folder, text(2).trim_matches('"')));
        }
    }
    found
}

/// Resolves a path such as `../kit/mod.rs` that is relative to `folder`. Returns the path from the root of the
/// workspace.
fn resolved(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    parts.truncate(parts.len().saturating_sub(relative.matches("../").count()));
    parts.push(relative.trim_start_matches("../"));
    parts.join("/")
}
