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
        "two migrations have this version, so one is not applied: rename the one that no release has",
    );
    let [_, reviews, suppliers, wrong @ ..] = names;
    let expected = [(reviews, version), (suppliers, version)].into_iter().chain(wrong.map(|name| (name, form)));
    assert_eq!(shown, expected.collect::<Vec<_>>());
}

#[test]
fn migrations_of_the_workspace_have_versions_of_their_own() {
    let names = names().expect("readable");
    assert!(names.len() > 3, "{names:?}");
    assert_eq!(check(&names), []);
}
