//! Files that no crate compiles: a test in one of them is never run, and nothing else says so.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::code::{self, Token};
use crate::sources::Source;

/// The files that are reached from no root by `mod` items.
pub fn check(sources: &[Source]) -> BTreeSet<Violation> {
    let texts: BTreeMap<&str, &str> =
        sources.iter().map(|source| (source.path.as_str(), source.text.as_str())).collect();
    let mut ahead: Vec<String> = texts.keys().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = ahead.pop() {
        let Some(text) = texts.get(path.as_str()) else { continue };
        // A file that is included by more than one has one home: its own modules are looked for there.
        if reached.insert(path.clone()) {
            ahead.extend(modules(&path, &code::tokens(text).unwrap_or_default()));
        }
    }
    let lost = texts.keys().filter(|path| !reached.contains(**path));
    let violation = |path: &&str| Violation {
        file: (*path).to_owned(),
        line: 1,
        rule: "compiled",
        found: path.rsplit('/').next().unwrap_or(path).to_owned(),
        reason: "no `mod` names this file, so that it is neither built nor tested",
    };
    lost.map(violation).collect()
}

/// What cargo compiles by itself.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "build.rs"] => true,
        [.., "tests" | "benches" | "examples", file] => !file.is_empty(),
        [.., "tests" | "benches" | "examples", _, "main.rs"] => true,
        _ => false,
    }
}

/// Where the modules that a file declares may be. Those in blocks of their own are taken for the file's.
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
        let source = |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
        let sources: Vec<Source> = files.iter().map(source).collect();
        check(&sources).into_iter().map(|violation| violation.file).collect()
    }

    #[test]
    fn file_that_a_module_names_is_compiled() {
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
    fn file_that_no_module_names_is_reported() {
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
