//! Tests of `coverage.rs`.

use super::*;

#[test]
fn module_missing_in_the_code_map_is_reported() {
    let code = ["domain/src/lib.rs", "domain/src/cart/mod.rs", "domain/src/cart/model.rs", "api/src/app/mod.rs"];
    let code: Vec<Source> = code.map(|path| Source::new(path, "")).into();
    let glossary = Source::new(GLOSSARY, "`domain/src/cart/model.rs`");
    let missing = |map: &str| missing(&code, &[Source::new(CODE_MAP, map), Source::new(GLOSSARY, &*glossary.text)]);
    assert_eq!(missing("| `domain/src/cart/` | baskets |\n| `api/src/app/mod.rs` | root |"), Vec::<String>::new());
    let expected = "docs/ARCHITECTURE.md: its code map does not name `domain/src/cart/`: add a row";
    assert_eq!(missing("`api/src/app/mod.rs`, `persistence/src/cart/`"), [expected]);
}

#[test]
fn module_of_the_domain_missing_in_the_glossary_is_reported() {
    let code =
        ["domain/src/lib.rs", "domain/src/text.rs", "domain/src/money.rs", "domain/src/cart/mod.rs", "api/src/log.rs"];
    let code: Vec<Source> = code.map(|path| Source::new(path, "")).into();
    let map = "`domain/src/text.rs` `domain/src/money.rs` `domain/src/cart/` `api/src/log.rs`";
    let missing = |glossary: &str| missing(&code, &[Source::new(CODE_MAP, map), Source::new(GLOSSARY, glossary)]);
    let expected = |module| {
        format!(
            "docs/GLOSSARY.md: no row names `domain/src/{module}`: add a row that explains the main term of this module"
        )
    };
    assert_eq!(missing("| `domain/src/money.rs`, `Amount` |\n| `domain/src/cart/model.rs` |"), [""; 0]);
    assert_eq!(missing("| `domain/src/money.rs`, `Amount` |\n| `domain/src/cart.rs` |"), [expected("cart/")]);
    assert_eq!(missing("| `domain/src/cart/model.rs` |\n| money: domain/src/money |"), [expected("money.rs")]);
}
