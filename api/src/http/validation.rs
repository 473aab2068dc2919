//! The rules of request types: `validator` checks them, and each violation gets the path of its member.

use std::borrow::Cow;

use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

/// A member of a request that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the member, such as `line_items[0].quantity`.
    pub path: String,
    /// What is wrong, without the value.
    pub content: String,
    /// Whether the member is longer than the shop accepts. The protocol has no such limits.
    pub is_limit: bool,
}

/// All violations of a request, in the order of their paths. Lengths of texts count characters.
pub fn violations(request: &impl Validate) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Err(errors) = request.validate() {
        collect("", &errors, &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(path: &str, errors: &ValidationErrors, found: &mut Vec<Violation>) {
    for (member, kind) in errors.errors() {
        // A member called `type` is a field called `kind`.
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
    let length = match actual {
        Some(serde_json::Value::String(text)) => text.chars().count(),
        Some(serde_json::Value::Array(list)) => list.len(),
        _ => 0,
    };
    let (content, is_limit) = match (&error.message, limit("max"), limit("min")) {
        (Some(message), ..) => (message.to_string(), error.code == LIMIT),
        (None, Some(max), _) if length as u64 > max => {
            let is_list = actual.is_some_and(serde_json::Value::is_array);
            let content = if is_list { "has more than {} entries" } else { "is longer than {} characters" };
            (content.replace("{}", &max.to_string()), true)
        }
        (None, _, Some(_)) if error.code == "length" => ("must not be empty".to_owned(), false),
        (None, _, Some(min)) => (format!("must be at least {min}"), false),
        (None, Some(max), None) => (format!("must be at most {max}"), false),
        (None, None, None) => ("is not valid".to_owned(), false),
    };
    Violation { path, content, is_limit }
}

const LIMIT: &str = "limit";

/// The error of a custom rule, for a value that is not valid.
pub fn invalid(message: impl Into<Cow<'static, str>>) -> ValidationError {
    ValidationError::new("invalid").with_message(message.into())
}

/// The error of a custom rule, for a value that is larger than the shop accepts.
pub fn beyond_limit(message: impl Into<Cow<'static, str>>) -> ValidationError {
    ValidationError::new(LIMIT).with_message(message.into())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize, Validate)]
    struct Entry {
        #[validate(length(min = 1, max = 2))]
        kind: Option<String>,
        #[validate(range(min = 1, max = 3))]
        count: i64,
    }

    #[derive(Serialize, Validate)]
    struct Request {
        #[validate(length(max = 2), nested)]
        entries: Vec<Entry>,
    }

    fn shown(entries: Vec<Entry>) -> Vec<(String, String, bool)> {
        violations(&Request { entries }).into_iter().map(|it| (it.path, it.content, it.is_limit)).collect()
    }

    #[test]
    fn violation_has_the_path_of_its_member_and_counts_characters() {
        let entry = |kind: &str, count| Entry { kind: Some(kind.to_owned()), count };
        for (entries, path, content, is_limit) in [
            (vec![entry("\u{e4}\u{e4}", 1), entry("abc", 1)], "entries[1].type", "is longer than 2 characters", true),
            (vec![entry("", 1)], "entries[0].type", "must not be empty", false),
            (vec![entry("a", 0)], "entries[0].count", "must be at least 1", false),
        ] {
            assert_eq!(shown(entries), [(path.to_owned(), content.to_owned(), is_limit)]);
        }
        let three = (0..3).map(|_| entry("a", 1)).collect();
        assert_eq!(shown(three), [("entries".to_owned(), "has more than 2 entries".to_owned(), true)]);
        assert_eq!(shown(vec![entry("\u{e4}\u{e4}", 1), Entry { kind: None, count: 2 }]), []);
    }
}
