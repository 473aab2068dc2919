//! Files that no crate compiles: a test in such a file is never run, and no other check reports it.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::code::Token;
use crate::sources::Source;

/// The files that are reached from no root by `mod` items.
pub fn check(sources: &[Source]) -> BTreeSet<Violation> {
    let known: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut ahead: Vec<String> = known.keys().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = ahead.pop() {
        let Some(source) = known.get(path.as_str()) else { continue };
        // The modules of a file that several crates include are beside the file.
        if reached.insert(path.clone()) {
            ahead.extend(modules(&path, source.tokens_or_none()));
        }
    }
    let lost = known.keys().filter(|path| !reached.contains(**path));
    let violation = |path: &&str| Violation {
        file: (*path).to_owned(),
        line: 1,
        rule: "compiled",
        found: path.rsplit('/').next().unwrap_or(path).to_owned(),
        reason: "no `mod` names this file, so it is neither built nor tested",
    };
    lost.map(violation).collect()
}

/// Whether cargo compiles this file without a `mod` that names it.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "build.rs"] => true,
        [.., "tests" | "benches" | "examples", file] => !file.is_empty(),
        [.., "tests" | "benches" | "examples", _, "main.rs"] => true,
        _ => false,
    }
}

/// The possible paths of the modules that a file declares. A module in an inline module is treated as one of the file.
fn modules(path: &str, tokens: &[Token]) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if token.text == "mod" && text(2) == ";" {
            for folder in [folder.to_owned(), format!("{folder}/{stem}")] {
                let name = text(1);
                found.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
            }
        } else if token.text == "path" && text(1) == "=" {
            found.push(resolved(folder, text(2).trim_matches('"')));
        }
    }
    found
}

fn resolved(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in relative.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
        check(&sources).into_iter().map(|violation| violation.file).collect()
    }

    #[test]
    fn file_named_by_a_module_is_accepted() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c { mod inner; }"),
            ("a/src/b/mod.rs", "mod d;"),
            ("a/src/b/d.rs", "mod e;"),
            ("a/src/b/d/e.rs", ""),
            ("a/src/inner.rs", ""),
            ("a/tests/faults.rs", "#[path = \"faults/f.rs\"] mod f; #[path = \"../../z/tests/kit/p.rs\"] mod p;"),
            ("a/tests/faults/f.rs", ""),
            ("a/tests/shop/main.rs", "mod g;"),
            ("a/tests/shop/g.rs", ""),
            ("z/tests/kit/p.rs", ""),
        ];
        assert_eq!(lost(&files), Vec::<String>::new());
    }

    #[test]
    fn file_named_by_no_module_is_reported() {
        let files = [
            ("a/src/lib.rs", "// mod b;\nconst C: &str = \"mod b;\";"),
            ("a/src/b.rs", "mod c;"),
            ("a/src/b/c.rs", ""),
            ("a/tests/shop/main.rs", ""),
            ("a/tests/shop/g.rs", "#[test] fn never_runs() {}"),
        ];
        assert_eq!(lost(&files), ["a/src/b.rs", "a/src/b/c.rs", "a/tests/shop/g.rs"]);
    }
}
