//! Tests of `symbols.rs`.

use super::*;

const CODE: &str = "pub struct Database { pool: Pool }
        impl Database { pub fn run(&self) { let count = 1; } }
        impl Port for Sql { fn read(&self) {} }
        enum Stage { Running, Abandoned }
        macro_rules! on_backend { () => {} }
        const LIMIT: u32 = 1;
        #[tokio::test] async fn a() {} on_both_engines!(c,); // fn d() {}
        #[cfg(test)] mod tests { fn b() {} }";

fn missing(text: &str) -> Vec<String> {
    Symbols::of(&[Source::new("a/b.rs", CODE)]).missing(&Source::new("docs/X.md", text))
}

#[test]
fn existing_name_is_accepted() {
    for text in [
        "`a/b.rs::Database`",
        "`a/b.rs::a`, `a/b.rs::b`",
        "`a/b.rs::Database::run`",
        "`a/b.rs`, `Database::run`",
        "| 4 | `a/b.rs`, `Sql::read` | permit, `count` |",
        "`a/b.rs` (`Stage::Running`)",
        "`LIMIT` in `a/b.rs`, `Stage`, in `a/b.rs`; no `_` in `a/b.rs`",
        "`Stage` in\n  `a/b.rs`",
        "`on_backend!` in `a/b.rs`",
        "`Database::run(&ctx, body)`",
        "`slog::Fuse`, `tokio::spawn`",
        "`b.rs`, `a/<module>/mod.rs`, a/c.rs",
        "```\n`a/b.rs::nothing`\n```",
        "`a/b.rs` has `nothing`; `nothing` and `a/b.rs`; `a/b.rs` | `nothing`",
    ] {
        assert_eq!(missing(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn missing_name_is_reported_with_its_line() {
    for (text, expected) in [
        ("x\n`a/b.rs::settle`", "docs/X.md:2: no settle in a/b.rs"),
        ("`a/b.rs::Database::settle`", "docs/X.md:1: no Database::settle in a/b.rs"),
        ("`a/b.rs::count`", "docs/X.md:1: no count in a/b.rs"),
        ("`a/b.rs::c`", "docs/X.md:1: no c in a/b.rs"),
        ("`a/b.rs::d`", "docs/X.md:1: no d in a/b.rs"),
        ("`a/c.rs`", "docs/X.md:1: no file a/c.rs"),
        ("`a/c.rs::run`", "docs/X.md:1: no run in a/c.rs"),
        ("`a/b.rs`, `settle`", "docs/X.md:1: no settle in a/b.rs"),
        ("`a/b.rs` (`Other::run`)", "docs/X.md:1: no Other::run in a/b.rs"),
        ("\n`settle` in\n`a/b.rs`", "docs/X.md:2: no settle in a/b.rs"),
        ("`Database::settle(&ctx)`", "docs/X.md:1: no Database::settle in the workspace"),
        ("`Outbound::run`", "docs/X.md:1: no Outbound::run in the workspace"),
    ] {
        assert_eq!(missing(text), [expected], "{text}");
    }
}
