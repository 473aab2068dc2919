//! Finds files that no crate compiles. A test in such a file never runs, and no other check reports the file.

use std::collections::BTreeSet;

use super::violation::Violation;
use crate::code;
use crate::sources::Source;

/// The files of a folder that `automod::dir!` leaves out.
const NOT_IN_FOLDER: [&str; 3] = ["mod.rs", "lib.rs", "main.rs"];

/// The files that cargo does not compile by itself and that no `mod` item and no `automod::dir!` names.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    let named: BTreeSet<String> = sources.iter().flat_map(modules).collect();
    let folders: BTreeSet<String> = sources.iter().flat_map(named_folders).collect();
    let in_named_folder = |path: &str| {
        path.rsplit_once('/').is_some_and(|(folder, file)| folders.contains(folder) && !NOT_IN_FOLDER.contains(&file))
    };
    let is_named = |path: &String| named.contains(path) || in_named_folder(path);
    let lost = sources.iter().filter(|source| !is_root(&source.path) && !is_named(&source.path));
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

/// The folders whose files `automod::dir!("tests/contract")` declares as modules. The path in the macro is relative to
/// the root of the crate, which is the folder that contains `src` and `tests`.
fn named_folders(source: &Source) -> Vec<String> {
    let is_top = |part: &&str| ["src", "tests", "benches", "examples"].contains(part);
    let root: Vec<&str> = source.path.split('/').take_while(|part| !is_top(part)).collect();
    let pattern = code::pattern("automod::dir!(");
    let calls = (0..source.tokens.len()).filter(|at| code::begin_with(&source.tokens[*at..], &pattern));
    let folder = |at: usize| {
        let mut arguments = source.tokens[at..].iter().take_while(|token| token.text != ";");
        let folder = arguments.find(|token| token.text.starts_with('"'))?;
        Some([&root[..], &[folder.text.trim_matches('"').trim_end_matches('/')]].concat().join("/"))
    };
    calls.filter_map(folder).collect()
}

/// Resolves a path such as `../kit/mod.rs` that is relative to `folder`. Returns the path from the root of the
/// workspace.
fn resolved(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    parts.truncate(parts.len().saturating_sub(relative.matches("../").count()));
    parts.push(relative.trim_start_matches("../"));
    parts.join("/")
}
