//! How long each text of a request may be, in characters, and what becomes of texts that are longer or empty. One table;
//! `docs/ERRORS.md` repeats it, and a test keeps the two together.

use serde_json::Value;

use super::refused::Refused;

/// One text member. In its path `[]` stands for every entry of a list and `{}` for every value of an object.
struct TextLimit {
    path: &'static str,
    most: usize,
    if_empty: IfEmpty,
    if_longer: IfLonger,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfEmpty {
    /// The member is absent.
    Absent,
    /// It is a value like any other, or it is refused elsewhere.
    Kept,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfLonger {
    /// Nothing is made or changed.
    Refused,
    /// It names something of the shop's, which has no name as long as that. It is cut, and still names nothing.
    Cut,
}

/// Ends a text that was cut.
const CUT: char = '\u{2026}';

const fn optional(path: &'static str, most: usize) -> TextLimit {
    TextLimit { path, most, if_empty: IfEmpty::Absent, if_longer: IfLonger::Refused }
}

const fn kept(path: &'static str, most: usize) -> TextLimit {
    TextLimit { path, most, if_empty: IfEmpty::Kept, if_longer: IfLonger::Refused }
}

const fn name(limit: TextLimit) -> TextLimit {
    TextLimit { if_longer: IfLonger::Cut, ..limit }
}

const TEXTS: &[TextLimit] = &[
    name(optional("line_items[].id", 128)),
    name(kept("line_items[].item.id", 1_000)),
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
    name(optional("fulfillment.methods[].selected_destination_id", 128)),
    name(optional("fulfillment.methods[].groups[].selected_option_id", 128)),
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
    name(kept("discounts.codes[]", 64)),
    optional("payment.instruments[].id", 200),
    optional("payment.instruments[].handler_id", 200),
    optional("payment.instruments[].type", 200),
    optional("payment.instruments[].display.brand", 200),
    optional("payment.instruments[].display.last_digits", 200),
    optional("payment.instruments[].display.description", 200),
    optional("payment.instruments[].credential.type", 200),
    optional("payment.instruments[].credential.token", 10_000),
];

/// Refuses or cuts a text that is too long, and removes optional texts that are empty.
pub(super) fn apply(document: &mut Value) -> Result<(), Refused> {
    TEXTS.iter().try_for_each(|limit| walk(document, limit.path, String::new(), limit))
}

/// `rest` is what remains of the limit's path, `at` the path so far.
fn walk(value: &mut Value, rest: &str, at: String, limit: &TextLimit) -> Result<(), Refused> {
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
            Value::String(text) if text.chars().count() > limit.most => match limit.if_longer {
                IfLonger::Refused => Err(Refused::beyond(&at, format!("is longer than {} characters", limit.most))),
                IfLonger::Cut => {
                    // One more than fits: what is left is too long to be a name, also without blanks at its ends.
                    *text = text.chars().take(limit.most).chain([CUT]).collect();
                    Ok(())
                }
            },
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
    use domain::catalog::Sku;
    use domain::checkout::LineId;
    use domain::customer::DestinationId;
    use domain::promotion::Code;
    use serde_json::json;

    use super::*;

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
    fn text_of_the_greatest_length_is_read_and_a_longer_one_is_refused_in_band_or_cut() {
        for limit in TEXTS {
            // Characters, not bytes.
            let fits = "\u{e4}".repeat(limit.most);
            let mut document = with(limit.path, &fits);
            assert!(apply(&mut document).is_ok() && document == with(limit.path, &fits), "{}", limit.path);
            let mut document = with(limit.path, &format!("{fits}xyz"));
            match (limit.if_longer, apply(&mut document)) {
                (IfLonger::Cut, Ok(())) => assert_eq!(document, with(limit.path, &format!("{fits}{CUT}"))),
                (IfLonger::Refused, Err(Refused::InBand(message))) => {
                    let message = serde_json::to_value(message).expect("JSON");
                    let name = format!("$.{}", limit.path.replace("[]", "[0]").replace("{}", ""));
                    assert_eq!((&message["code"], &message["path"]), (&json!("limit_exceeded"), &json!(name)));
                }
                _ => panic!("{}", limit.path),
            }
        }
    }

    /// A name that is cut must not become one of the shop's.
    #[test]
    fn names_of_the_shop_are_shorter_than_what_is_left_of_a_cut_one() {
        let most = |path: &str| TEXTS.iter().find(|limit| limit.path == path).map(|limit| limit.most);
        assert!(most("line_items[].id") >= Some(LineId::MAX_LENGTH));
        assert!(most("line_items[].item.id") >= Some(Sku::MAX_LENGTH));
        assert!(most("discounts.codes[]") >= Some(Code::MAX_LENGTH));
        assert!(most("fulfillment.methods[].selected_destination_id") >= Some(DestinationId::MAX_LENGTH));
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
