//! Tests of `coverage.rs`.

use super::*;

#[test]
fn module_missing_in_the_code_map_is_reported() {
    let code = ["domain/src/lib.rs", "domain/src/cart/mod.rs", "domain/src/cart/model.rs", "api/src/app/mod.rs"];
    let code: Vec<Source> = code.map(|path| Source::new(path, "")).into();
    let missing = |map: &str| missing(&code, &[Source::new(CODE_MAP, map)]);
    assert_eq!(missing("| `domain/src/cart/` | baskets |\n| `api/src/app/mod.rs` | root |"), Vec::<String>::new());
    let expected = "docs/ARCHITECTURE.md: its code map does not name `domain/src/cart/`: add a row";
    assert_eq!(missing("`api/src/app/mod.rs`, `persistence/src/cart/`"), [expected]);
}

#[test]
fn error_code_missing_in_the_table_is_reported() {
    let text = "fn f() { Problem::bad_request(\"not_ready\", &message.content);
            conflict(\"in_use\", \"The key is in use\"); Problem::new(StatusCode::GONE, \"gone\", \"Gone\");
            conflict(code, content); log(\"not_a_code\"); }
            #[cfg(test)] mod tests { fn g() { conflict(\"only_a_test\", \"\"); } }";
    let code = [Source::new("api/src/http/problem.rs", text)];
    let missing = |table: &str| missing(&code, &[Source::new(ERRORS, table), Source::new(CODE_MAP, "api/src/http/")]);
    assert_eq!(missing("| 400 | `not_ready` |\n| 409 | `in_use` |\n| 410 | `gone` |"), Vec::<String>::new());
    let expected = "docs/ERRORS.md: does not name the error code `in_use`: add a row";
    assert_eq!(missing("| 400 | `not_ready` |\n| 410 | `gone` | in_use"), [expected]);
}
