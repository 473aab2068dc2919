//! Checks requests against the rules of their types. `validator` checks the rules, and each violation gets the path of
//! its member.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use super::problem::Problem;
pub use super::problem::Violation;

/// All violations of a request, in the order of their paths. Lengths of texts count characters.
pub fn violations(request: &impl Validate) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Err(errors) = request.validate() {
        collect("", &errors, &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Returns the request if it has no violation. Otherwise the problem lists all of them.
pub fn must_be_valid<T: Validate>(request: T) -> Result<T, Problem> {
    must_be_none(violations(&request)).map(|()| request)
}

/// Fails if there is a violation. The problem lists all of them.
pub fn must_be_none(violations: Vec<Violation>) -> Result<(), Problem> {
    if violations.is_empty() { Ok(()) } else { Err(invalid_fields(violations)) }
}

/// The response to a request with members that break a rule.
pub fn invalid_fields(mut violations: Vec<Violation>) -> Problem {
    violations.sort_by(|one, other| one.path.cmp(&other.path));
    let mut problem =
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", "Members of the request are not valid");
    problem.violations = violations;
    problem
}

fn collect(path: &str, errors: &ValidationErrors, found: &mut Vec<Violation>) {
    for (member, kind) in errors.errors() {
        // The Rust field of the JSON member `type` is called `kind`.
        let member = if member == "kind" { "type" } else { member.as_ref() };
        let path = if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
        match kind {
            ValidationErrorsKind::Struct(errors) => collect(&path, errors, found),
            ValidationErrorsKind::List(entries) => {
                entries.iter().for_each(|(index, errors)| collect(&format!("{path}[{index}]"), errors, found));
            }
            ValidationErrorsKind::Field(errors) => {
                found.extend(errors.iter().map(|error| violation(path.clone(), error)));
            }
        }
    }
}

fn violation(path: String, error: &ValidationError) -> Violation {
    let limit = |name| error.params.get(name).and_then(serde_json::Value::as_u64);
    let actual = error.params.get("value");
    let number = actual.and_then(serde_json::Value::as_u64);
    let length = match actual {
        Some(serde_json::Value::String(text)) => text.chars().count(),
        Some(serde_json::Value::Array(list)) => list.len(),
        _ => 0,
    };
    let (content, is_limit) = match (&error.message, limit("max"), limit("min")) {
        (Some(message), ..) => (message.to_string(), false),
        (None, Some(max), _) if length as u64 > max => {
            let is_list = actual.is_some_and(serde_json::Value::is_array);
            let content = if is_list { "has more than {} entries" } else { "is longer than {} characters" };
            (content.replace("{}", &max.to_string()), true)
        }
        (None, _, Some(_)) if error.code == "length" => ("must not be empty".to_owned(), false),
        (None, Some(max), _) if number.is_some_and(|number| number > max) => (format!("must be at most {max}"), false),
        (None, _, Some(min)) => (format!("must be at least {min}"), false),
        (None, _, None) if error.code == "required" => ("is required".to_owned(), false),
        (None, _, None) => ("is not valid".to_owned(), false),
    };
    Violation { path, content, is_limit }
}

/// The error of a custom rule, for a value that is not valid.
pub fn invalid(message: impl Into<Cow<'static, str>>) -> ValidationError {
    ValidationError::new("invalid").with_message(message.into())
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
