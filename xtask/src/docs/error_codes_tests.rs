//! Tests of `error_codes.rs`.

use super::*;

const PROBLEM: &str = "impl Problem {
    pub fn new(status: StatusCode, code: &'static str, content: impl Into<String>) -> Self { Self { status, code } }
    pub fn not_found(code: &'static str) -> Self { Self::new(StatusCode::NOT_FOUND, code, \"Gone\") }
    pub fn teapot() -> Self { Self::new(StatusCode::IM_A_TEAPOT, \"teapot\", \"Tea\") }
}
pub fn fault_problem(kind: FaultKind) -> Problem {
    let unavailable = |code, content: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, content);
    match kind { FaultKind::StorageFull => unavailable(kind.into_str(), \"Full\"), _ => unavailable(\"down\", \"Down\") }
}
pub fn conflict(code: &'static str, content: &str) -> Problem { Problem::new(StatusCode::CONFLICT, code, content) }";

const HANDLERS: &str = "fn f(is_late: bool) {
    Problem::not_found(\"gone\");
    conflict(\"in_use\", \"The key is in use\");
    super::conflict(if is_late { \"late\" } else { \"early\" }, &format!(\"{}\", \"A text\"));
    Problem::new(StatusCode::CONFLICT, match refusal { Refusal::Full => \"full\", Refusal::Closed => { \"closed\" } }, \"A\");
    Problem { status, code: \"literal\", content: String::new() };
    Problem { status, ..problem };
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

const ALL: [&str; 13] = [
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
    "storage_full",
    "teapot",
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
        "fn g() { conflict(name_of(&refusal), \"A text\"); }",
        "fn g() { conflict(CODE, \"A text\"); }",
        "fn g() { let refuse = |code, text| Problem::new(StatusCode::CONFLICT, code, text); }",
        "fn g() { conflict(refusal.into_str(), \"A text\"); }",
        "fn g() { let code = \"late\"; Problem::new(StatusCode::CONFLICT, code, \"A text\"); }",
        "fn new() { Problem::new(StatusCode::CONFLICT, CODE, \"A text\"); }",
    ] {
        let found = of(&format!("{HANDLERS}\n{line}"), &ALL);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let expected = "api/src/store/review.rs:13: the code of this problem cannot be found";
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn function_that_takes_a_code_and_is_not_listed_is_reported() {
    for (line, name) in [
        ("fn refused(code: &'static str) -> Problem { Problem { code, ..problem } }", "refused"),
        ("impl Issue { fn new(path: &str, code: &'static str) -> Self { Self { path, code } } }", "new"),
    ] {
        let found = of(&format!("{HANDLERS}\n{line}"), &ALL);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let expected = format!("api/src/store/review.rs:13: `{name}` takes an error code");
        assert!(found[0].starts_with(&expected), "{found:?}");
    }
}
