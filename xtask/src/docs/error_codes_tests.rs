//! Tests of `error_codes.rs`.

use super::*;

const PROBLEM: &str = "impl Problem {
    pub fn new(status: StatusCode, code: &'static str, content: impl Into<String>) -> Self { Self { status, code } }
    pub fn gone(code: &'static str) -> Self { Self::new(StatusCode::GONE, code, \"Gone\") }
    pub fn with(self, code: &'static str) -> Self { Self { code, ..self } }
    pub fn teapot() -> Self { Self::new(StatusCode::IM_A_TEAPOT, \"teapot\", \"Tea\") }
}
pub fn fault_problem(kind: FaultKind) -> Problem {
    let unavailable = |code, content: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, content);
    match kind { FaultKind::StorageFull => unavailable(kind.into_str(), \"Full\"), _ => unavailable(\"down\", \"Down\") }
}
pub fn conflict(code: &'static str, content: &str) -> Problem { Problem::new(StatusCode::CONFLICT, code, content) }";

const HANDLERS: &str = "fn f(is_late: bool) {
    Problem::gone(\"gone\");
    problem.with(\"with_method\");
    conflict(\"in_use\", \"The key is in use\");
    super::conflict(if is_late { \"late\" } else { \"early\" }, &format!(\"{}\", \"text\"));
    let code = match refusal { Refusal::Full => \"full\", Refusal::Closed => { \"closed\" } };
    Problem::new(StatusCode::CONFLICT, code, \"a sentence\");
    let code = \"second\"; conflict(code, \"text\");
    Problem { status, code: \"literal\", content: String::new() };
    Problem { status, ..problem };
    Problem { code: other.code, ..problem };
    json!({\"code\": \"in_json\", \"content\": \"text\"});
    let body = \"{\\\"code\\\":\\\"in_text\\\",\\\"content\\\":\\\"text\\\"}\";
    log(\"no_code\"); Url::new(a, \"no_code\");
}
#[cfg(test)] mod tests { fn g() { conflict(\"only_a_test\", \"\"); } }";

const FAULT: &str = "pub enum FaultKind {
    /// The disk is full.
    StorageFull,
    #[strum(serialize = \"outcome_not_known\")]
    Unknown(u8),
}
pub enum Other { NoCode }";

const ALL: [&str; 15] = [
    "closed",
    "down",
    "early",
    "full",
    "gone",
    "in_json",
    "in_text",
    "in_use",
    "late",
    "literal",
    "outcome_not_known",
    "second",
    "storage_full",
    "teapot",
    "with_method",
];

fn of(handlers: &str, codes: &[&str]) -> Vec<String> {
    let code = [
        Source::new("api/src/http/problem.rs", PROBLEM),
        Source::new("api/src/store/review.rs", handlers),
        Source::new("api/src/store/review_tests.rs", "fn f() { conflict(\"only_a_test\", \"\"); }"),
        Source::new("domain/src/fault.rs", FAULT),
    ];
    missing(&code, &codes.iter().map(|code| format!("| 409 | `{code}` |\n")).collect::<String>())
}

#[test]
fn error_code_missing_in_the_table_is_reported() {
    assert_eq!(of(HANDLERS, &ALL), [""; 0]);
    for code in ALL {
        let others: Vec<&str> = ALL.into_iter().filter(|other| *other != code).collect();
        assert_eq!(
            of(HANDLERS, &others),
            [format!("docs/ERRORS.md: does not name the error code `{code}`: add a row")]
        );
    }
}

#[test]
fn problem_whose_code_cannot_be_found_is_reported() {
    for line in [
        "conflict(name_of(&refusal), \"text\");",
        "conflict(CODE, \"text\");",
        "let refuse = |word| conflict(word, \"text\");",
        "conflict(refusal.into_str(), \"text\");",
        "let code = name_of(&refusal); conflict(code, \"text\");",
        "Problem { code: name_of(&refusal), ..problem };",
        "Problem { code, ..problem };",
    ] {
        let handlers = format!("{HANDLERS}\nfn g() {{ {line} }}");
        let found = of(&handlers, &ALL);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(
            found[0].starts_with("api/src/store/review.rs:17: the code of this problem cannot be found"),
            "{found:?}"
        );
    }
}
