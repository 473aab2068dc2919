//! Tests of `excerpts.rs`.

use super::*;

const FILE: &str = "//! Reviews.

pub struct Review {
    pub id: ReviewId,

    pub stars: u8,
}

impl Review {
    pub fn new(id: ReviewId) -> Self {
        Self { id, stars: 5 }
    }
}
";

fn of(page: &str) -> Vec<String> {
    let page = Source::new("docs/ADDING_A_MODULE.md", page);
    differences(&page, |path| (path == "domain/src/review.rs").then(|| FILE.to_owned()))
}

#[test]
fn excerpt_that_differs_from_its_file_is_reported_with_the_first_line() {
    let page = "# A module

<!-- excerpt: domain/src/review.rs -->
```rust
pub struct Review {
    pub id: ReviewId,
    pub stars: u8,
}

// ...
pub fn new(id: ReviewId) -> Self {
    Self { id, stars: 5 }
}
```

Text.

```rust
this is no excerpt
```
";
    assert_eq!(of(page), [""; 0]);
    let differs = |line, text| {
        let path = "domain/src/review.rs";
        format!(
            "docs/ADDING_A_MODULE.md:{line}: `{text}` is not what {path} has here: copy the code again from the file"
        )
    };
    for (before, after, expected) in [
        ("    pub stars: u8,", "    pub stars: u16,", differs(7, "pub stars: u16,")),
        ("    pub stars: u8,\n", "", differs(7, "}")),
        ("// ...\n", "", differs(10, "pub fn new(id: ReviewId) -> Self {")),
        ("stars: 5 }", "stars: 4 }", differs(12, "Self { id, stars: 4 }")),
        ("pub struct", "pub enum", differs(5, "pub enum Review {")),
        ("// ...", "/* ... */", differs(10, "/* ... */")),
    ] {
        assert_eq!(of(&page.replacen(before, after, 1)), [expected], "{after}");
    }
    // The lines after a gap follow the lines before the gap.
    let reversed = "<!-- excerpt: domain/src/review.rs -->\n```rust\nimpl Review {\n// ...\npub struct Review {\n```\n";
    assert_eq!(of(reversed), [differs(5, "pub struct Review {")]);
}

#[test]
fn excerpt_without_file_or_code_is_reported() {
    let lost = "<!-- excerpt: domain/src/lost.rs -->\n```rust\nmod lost;\n```\n";
    assert_eq!(of(lost), ["docs/ADDING_A_MODULE.md:1: no file domain/src/lost.rs"]);
    let expected = "docs/ADDING_A_MODULE.md:1: no code follows the excerpt of domain/src/review.rs: add a block that begins \
                    with ```";
    let begin = "<!-- excerpt: domain/src/review.rs -->\n";
    for end in ["", "\n```rust\npub struct Review {\n```\n", "```rust\n\n```\n"] {
        assert_eq!(of(&format!("{begin}{end}")), [expected], "{end}");
    }
}
