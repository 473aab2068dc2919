//! Tests of `mod.rs`.

use super::*;

#[test]
fn agent_header_names_the_profile() {
    let profile = Url::parse("https://shop.example/.well-known/ucp").expect("a url");
    assert_eq!(agent(&profile).as_deref(), Ok(r#"profile="https://shop.example/.well-known/ucp""#));
}
