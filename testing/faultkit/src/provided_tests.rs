//! Tests of `provided.rs`.

use super::*;

#[test]
fn test_is_named_by_its_binary_and_its_path() {
    let name = concat!(env!("CARGO_PKG_NAME"), "::provided::tests::test_is_named_by_its_binary_and_its_path");
    assert_eq!(test(), name);
}

#[test]
fn record_gains_one_line_for_each_use() {
    let file = std::env::temp_dir().join(format!("{}-record-{}", env!("CARGO_PKG_NAME"), std::process::id()));
    append(&file, "used", "Postgres", "api::a").expect("written");
    append(&file, "not checked", "a\tdisk\n(why)", "api::b").expect("written");
    let text = std::fs::read_to_string(&file).expect("readable");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(text, "used\tPostgres\tapi::a\nnot checked\ta disk (why)\tapi::b\n");
}
