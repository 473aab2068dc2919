//! How long each text of a request may be, in characters, and which texts mean nothing when they are empty. One table;
//! `docs/ERRORS.md` repeats it, and a test keeps the two together.

use serde_json::Value;

use crate::http::Problem;

/// One text member. In its path `[]` stands for every entry of a list and `{}` for every value of an object.
struct TextLimit {
    path: &'static str,
    most: usize,
    if_empty: IfEmpty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfEmpty {
    /// The member is absent.
    Absent,
    /// It is a value like any other, or it is refused elsewhere.
    Kept,
}

const fn optional(path: &'static str, most: usize) -> TextLimit {
    TextLimit { path, most, if_empty: IfEmpty::Absent }
}

const fn kept(path: &'static str, most: usize) -> TextLimit {
    TextLimit { path, most, if_empty: IfEmpty::Kept }
}

const TEXTS: &[TextLimit] = &[
    optional("line_items[].id", 128),
    kept("line_items[].item.id", 1_000),
    optional("buyer.first_name", 200),
    optional("buyer.last_name", 200),
    optional("buyer.email", 320),
    optional("buyer.phone_number", 50),
    optional("context.address_country", 100),
    optional("context.address_region", 100),
    optional("context.postal_code", 50),
    optional("context.language", 50),
    optional("context.currency", 10),
    optional("context.intent", 2_000),
    kept("context.eligibility[]", 200),
    kept("attribution{}", 500),
    optional("fulfillment.methods[].selected_destination_id", 128),
    optional("fulfillment.methods[].groups[].selected_option_id", 128),
    optional("fulfillment.methods[].destinations[].id", 128),
    optional("fulfillment.methods[].destinations[].street_address", 300),
    optional("fulfillment.methods[].destinations[].extended_address", 300),
    optional("fulfillment.methods[].destinations[].address_locality", 200),
    optional("fulfillment.methods[].destinations[].address_region", 200),
    optional("fulfillment.methods[].destinations[].postal_code", 50),
    optional("fulfillment.methods[].destinations[].address_country", 100),
    optional("fulfillment.methods[].destinations[].first_name", 200),
    optional("fulfillment.methods[].destinations[].last_name", 200),
    optional("fulfillment.methods[].destinations[].phone_number", 50),
    kept("discounts.codes[]", 64),
    optional("payment.instruments[].id", 200),
    optional("payment.instruments[].handler_id", 200),
    optional("payment.instruments[].type", 200),
    optional("payment.instruments[].display.brand", 200),
    optional("payment.instruments[].display.last_digits", 200),
    optional("payment.instruments[].display.description", 200),
    optional("payment.instruments[].credential.type", 200),
    optional("payment.instruments[].credential.token", 10_000),
];

/// Refuses a text that is too long, and removes optional texts that are empty.
pub(super) fn apply(document: &mut Value) -> Result<(), Problem> {
    TEXTS.iter().try_for_each(|limit| walk(document, limit.path, String::new(), limit))
}

/// `rest` is what remains of the limit's path, `at` the path so far.
fn walk(value: &mut Value, rest: &str, at: String, limit: &TextLimit) -> Result<(), Problem> {
    if let Some(rest) = rest.strip_prefix("[]") {
        let entries = value.as_array_mut().into_iter().flatten().enumerate();
        return entries.into_iter().try_for_each(|(index, entry)| walk(entry, rest, format!("{at}[{index}]"), limit));
    }
    if let Some(rest) = rest.strip_prefix("{}") {
        let members = value.as_object_mut().into_iter().flat_map(|object| object.values_mut());
        return members.into_iter().try_for_each(|member| walk(member, rest, at.clone(), limit));
    }
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    if rest.is_empty() {
        return match value {
            Value::String(text) if text.chars().count() > limit.most => {
                let content = format!("{at}: is longer than {} characters", limit.most);
                Err(Problem::bad_request("invalid_request", content))
            }
            _ => Ok(()),
        };
    }
    let end = rest.find(['.', '[', '{']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let Some(object) = value.as_object_mut() else { return Ok(()) };
    if rest.is_empty() && limit.if_empty == IfEmpty::Absent && object.get(name).is_some_and(|it| it == "") {
        object.remove(name);
    }
    let Some(member) = object.get_mut(name) else { return Ok(()) };
    let at = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    walk(member, rest, at, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A document with this text at the path of the limit.
    fn with(path: &str, text: &str) -> Value {
        let mut value = json!(text);
        for part in path.rsplit('.') {
            let name = part.trim_end_matches("[]").trim_end_matches("{}");
            if part.ends_with("[]") {
                value = json!([value]);
            } else if part.ends_with("{}") {
                value = json!({"any": value});
            }
            value = json!({name: value});
        }
        value
    }

    #[test]
    fn text_of_the_greatest_length_is_read_and_a_longer_one_is_refused_by_name() {
        for limit in TEXTS {
            // Characters, not bytes.
            let fits = "\u{e4}".repeat(limit.most);
            assert!(apply(&mut with(limit.path, &fits)).is_ok(), "{}", limit.path);
            let problem = apply(&mut with(limit.path, &format!("{fits}x"))).expect_err(limit.path);
            let name = limit.path.replace("[]", "[0]").replace("{}", "");
            assert!(problem.content.starts_with(&format!("{name}: ")), "{}", problem.content);
        }
    }

    #[test]
    fn empty_optional_text_is_absent() {
        for limit in TEXTS {
            let mut document = with(limit.path, "");
            apply(&mut document).expect("valid");
            let is_absent = document != with(limit.path, "");
            assert_eq!(is_absent, limit.if_empty == IfEmpty::Absent, "{}", limit.path);
        }
    }

    /// A text member that is read and has no limit is found by its declaration.
    #[test]
    fn every_text_that_is_read_has_a_limit() {
        let declared = include_str!("request.rs").lines().filter_map(|line| {
            let (name, kind) = line.trim().trim_end_matches(',').split_once(": ")?;
            let kinds =
                ["String", "Option<String>", "Vec<String>", "Option<Vec<String>>", "Option<BTreeMap<String, String>>"];
            (line.starts_with("    ") && !line.starts_with("     ") && kinds.contains(&kind)).then_some(name)
        });
        let names: Vec<&str> = declared.map(|name| if name == "kind" { "type" } else { name }).collect();
        assert!(names.len() > 25, "{names:?}");
        for name in names {
            let has_one = TEXTS.iter().any(|limit| {
                let last = limit.path.rsplit('.').next().unwrap_or_default();
                last.trim_end_matches("[]").trim_end_matches("{}") == name
            });
            assert!(has_one, "{name}");
        }
    }

    #[test]
    fn documentation_has_the_same_table() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ERRORS.md");
        let document = std::fs::read_to_string(root).expect("the document");
        let expected: String = TEXTS.iter().map(|limit| format!("| `{}` | {} |\n", limit.path, limit.most)).collect();
        assert!(document.contains(&expected), "docs/ERRORS.md must have these rows:\n{expected}");
    }
}
