//! Tests of this module.

use super::*;

#[test]
fn relative_link_to_no_file_is_reported_with_its_line() {
    let text = "# Title\n\n[a](nowhere.md#ports) [b](https://example.org/x.md) [c](#here) [d](../README.md \"x\")\n\
                    ```\n[y](nor-here.md)\n```\n";
    let dead = dead_links(&Source::new("docs/X.md", text));
    assert_eq!(dead, ["docs/X.md:3: no file nowhere.md"]);
}

#[test]
fn fault_without_test_is_reported() {
    let text = "# Faults\n\n### PG1: down\n\n- `a/tests/b.rs::c`\n\n### PG3: silent\n\n`a/b.rs::c` is no test.\n\n### PG4: slow\n\n- `a/b_tests.rs::d`\n\n## Runs\n";
    let document = Source::new(FAILURES, text);
    assert_eq!(faults_without_test(&document), ["docs/FAILURES.md: PG3 names no test: name the test that provokes it"]);
}

#[test]
fn documents_of_this_workspace_have_no_mistake() {
    check().expect("no mistake");
}
