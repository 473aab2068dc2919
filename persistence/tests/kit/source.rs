//! What the source of the crate declares.

use std::collections::BTreeSet;
use std::path::Path;

/// Returns the names of all transactions (`module.verb`).
pub fn operations() -> BTreeSet<String> {
    let calls = [
        "Operation::read(",
        "Operation::read_one(",
        "Operation::write(",
        "Operation::repeatable_write(",
        "Operation::repeatable_write_one(",
        "idempotency::once(",
    ];
    let found: BTreeSet<String> = calls.into_iter().flat_map(first_texts).collect();
    assert!(found.len() > 25, "{found:?}");
    found
}

/// Returns the first text among the arguments of each call, if it is a name.
fn first_texts(call: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let calls = file.split(call).skip(1).filter_map(|rest| rest.split_once(')'));
        let texts = calls.filter_map(|(arguments, _)| arguments.split('"').nth(1));
        found.extend(texts.filter(|text| !text.contains(' ')).map(str::to_owned));
    }
    found
}

/// Whether the file has the unit tests of another file.
fn is_test(path: &Path) -> bool {
    path.to_string_lossy().ends_with("_tests.rs")
}

/// Returns the text of every file of the source, without unit tests.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            found.push(std::fs::read_to_string(path).expect("a file"));
        }
    }
    found
}
