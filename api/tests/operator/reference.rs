//! The page of all settings equals the reference that the program prints.

use crate::kit::command::tuckshop;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");

#[test]
fn settings_page_equals_the_printed_reference() {
    let finished = tuckshop(&["config", "--markdown"], &[]);
    assert_eq!(finished.code, 0, "{}", finished.err);
    let page = std::fs::read_to_string(PAGE).expect("docs/CONFIGURATION.md");
    let differs = page.lines().zip(finished.out.lines()).find(|(written, printed)| written != printed);
    assert!(
        page.trim_end() == finished.out.trim_end(),
        "docs/CONFIGURATION.md differs from the configuration, first at {differs:?}: run `cargo xtask docs`"
    );
}
