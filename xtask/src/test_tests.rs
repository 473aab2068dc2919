//! Tests of `test.rs`.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

#[test]
fn name_is_passed_to_cargo_and_further_arguments_to_the_test_binaries() {
    for (given, expected, is_everything) in [
        ("", "`cargo test --no-fail-fast --workspace`", true),
        ("--install", "`cargo test --no-fail-fast --workspace`", true),
        ("declined", "`cargo test --no-fail-fast --workspace declined`", false),
        ("-- --nocapture", "`cargo test --no-fail-fast --workspace -- --nocapture`", false),
        ("declined -- --exact", "`cargo test --no-fail-fast --workspace declined -- --exact`", false),
        ("-p api -p domain x", "`cargo test --no-fail-fast --package api --package domain x`", false),
    ] {
        let words = std::iter::once("test").chain(given.split_whitespace());
        let Line { args } = Line::try_parse_from(words).expect("valid");
        assert_eq!(process::shown(&args.command()), expected);
        assert_eq!(args.is_everything(), is_everything, "{given}");
    }
}
