//! Tests of `decisions.rs`.

use super::*;

/// Two decisions, the index, and a document in another folder.
fn documents(index: &str) -> Vec<Source> {
    let changed = "# 0001: One table\n\nChanged by [0002](0002-two.md).\n\n## Context\n";
    let files = [
        ("docs/GLOSSARY.md", "# Glossary\n"),
        ("docs/decisions/0001-one.md", changed),
        ("docs/decisions/0002-two.md", "# 0002: Two tables\n\n## Context\n"),
        (INDEX, index),
    ];
    files.map(|(path, text)| Source::new(path, text)).into()
}

#[test]
fn index_has_the_title_and_the_later_decisions_of_each_decision() {
    let index = index(&documents(""));
    let rows = "| [0001](0001-one.md) | One table | Changed by [0002](0002-two.md) |\n\
                | [0002](0002-two.md) | Two tables |  |\n";
    assert_eq!(index.strip_prefix(HEAD), Some(rows));
}

#[test]
fn decision_that_the_committed_index_lacks_is_reported_with_the_command_that_adds_it() {
    let current = index(&documents(""));
    let mut documents = documents(&current);
    assert_eq!(mistakes(&documents), [""; 0]);
    documents.push(Source::new("docs/decisions/0003-three.md", "# 0003: Three tables\n"));
    let expected = "docs/decisions/README.md: differs from the decisions: run `cargo xtask docs`, and commit the file";
    assert_eq!(mistakes(&documents), [expected]);
    documents.retain(|document| document.path != INDEX);
    assert_eq!(mistakes(&documents), [expected], "no index is committed");
}

#[test]
fn decision_with_a_wrong_or_a_used_number_is_reported() {
    let mut documents = documents("");
    documents.push(Source::new("docs/decisions/0002-three.md", "# 0003: Three tables\n"));
    let current = index(&documents);
    documents.retain(|document| document.path != INDEX);
    documents.push(Source::new(INDEX, current));
    let expected = [
        "docs/decisions/0002-three.md:1: the file begins with `# 0002: ` and the title",
        "docs/decisions/0002-three.md: 0002-two.md has the same number: use the next free number",
    ];
    assert_eq!(mistakes(&documents), expected);
}
