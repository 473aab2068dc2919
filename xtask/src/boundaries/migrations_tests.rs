//! Tests of `migrations.rs`.

use super::*;

#[test]
fn migration_is_reported_if_it_has_no_version_of_its_own() {
    let names = [
        "2026-11-22-000001_schema",
        "2026-11-29-000001_reviews",
        "2026-11-29-000001_suppliers",
        "2026-11-29-000002",
        "2026-11-29-3_reviews",
        "20261129000004_reviews",
        "reviews",
    ];
    let found = check(&names.map(str::to_owned).into());
    let shown: Vec<_> = found.iter().map(|violation| (violation.found.as_str(), violation.reason)).collect();
    let (form, version) = (
        "the name has the form YYYY-MM-DD-NNNNNN_name",
        "another migration has this version, so this one is not applied: take the next number",
    );
    assert_eq!(shown, [(names[2], version), (names[3], form), (names[4], form), (names[5], form), (names[6], form)]);
}

#[test]
fn migrations_of_the_workspace_have_versions_of_their_own() {
    let names = names().expect("readable");
    assert!(names.len() > 3, "{names:?}");
    assert_eq!(check(&names), []);
}
