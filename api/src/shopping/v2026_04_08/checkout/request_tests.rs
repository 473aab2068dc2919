//! Tests of the limits of texts, against the table in `docs/ERRORS.md`.

use serde_json::json;

use super::*;

/// The rows of the table: the path of a text and its limit in characters. In a path `[]` is every entry of a list and
/// `{}` every value of an object.
fn documented() -> Vec<(String, usize)> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ERRORS.md");
    let document = std::fs::read_to_string(document).expect("the document");
    let table = document.split_once("| text | characters, at most |\n|---|---|\n").expect("the table").1;
    let rows = table.lines().map_while(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    rows.map(|(path, most)| (path.to_owned(), most.parse().expect("a number"))).collect()
}

/// A valid body with this text at the path.
fn body_with(path: &str, text: &str) -> Vec<u8> {
    let mut body = json!({"line_items": [{"item": {"id": "a"}, "quantity": 1}]});
    let mut place = &mut body;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let name = part.trim_end_matches("[]").trim_end_matches("{}");
        place = &mut place[name];
        if part.ends_with("[]") {
            if place.is_null() {
                *place = json!([null]);
            }
            place = &mut place[0];
        } else if part.ends_with("{}") {
            place = &mut place["any"];
        }
        if parts.peek().is_none() {
            *place = text.into();
        }
    }
    body.to_string().into_bytes()
}

fn parse(path: &str, text: &str) -> Result<CheckoutRequest, Refused> {
    read(&body_with(path, text)).and_then(CheckoutBody::parse)
}

/// The paths of hints, whose longer texts are left out.
const HINTS: [&str; 7] = [
    "context.address_country",
    "context.address_region",
    "context.postal_code",
    "context.language",
    "context.currency",
    "context.intent",
    "attribution{}",
];

const NAMES: [&str; 5] = [
    "line_items[].id",
    "line_items[].item.id",
    "discounts.codes[]",
    "fulfillment.methods[].selected_destination_id",
    "fulfillment.methods[].groups[].selected_option_id",
];

#[test]
fn text_of_the_documented_length_is_read_and_a_longer_one_is_refused_in_band_or_cut_or_left_out() {
    // These texts must have a special form, which other tests check.
    let formed = ["buyer.email", "payment.instruments[].display.last_digits", "context.eligibility[]"];
    for (path, most) in documented().into_iter().filter(|(path, _)| !formed.contains(&path.as_str())) {
        // The text has two bytes for each character, because the limit counts characters.
        let fits = "\u{e4}".repeat(most);
        let read = parse(&path, &fits).expect("a text of the documented length");
        if HINTS.contains(&path.as_str()) {
            assert!(format!("{read:?}").contains(&fits), "{path}");
        }
        match parse(&path, &format!("{fits}xyz")) {
            Ok(request) if HINTS.contains(&path.as_str()) => {
                assert!(!format!("{request:?}").contains(&fits), "{path}");
            }
            Ok(request) if NAMES.contains(&path.as_str()) => {
                let request = format!("{request:?}");
                assert!(path == "line_items[].id" || request.contains(&format!("{fits}\u{2026}")), "{path}");
                assert!(!request.contains(&format!("{fits}x")), "{path}");
            }
            Err(Refused::InBand(messages)) => {
                let message = serde_json::to_value(&messages[0]).expect("JSON");
                let shown = path.strip_suffix("[]").unwrap_or(&path).replace("[]", "[0]").replace("{}", "");
                assert_eq!(
                    (&message["code"], &message["path"]),
                    (&json!("limit_exceeded"), &json!(format!("$.{shown}")))
                );
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn claim_without_a_valid_name_and_repeated_claim_are_left_out() {
    let long = |length: usize| format!("com.{}", "x".repeat(length - 4));
    let (fits, too_long) = (long(200), long(201));
    let invalid = [
        "",
        "gold",
        "com.",
        ".gold",
        "com..gold",
        "Com.gold",
        "com.Gold",
        "1com.gold",
        "com.1gold",
        "com.gold club",
        "com_x.gold",
        "com.g\u{e4}ld",
        "com._gold",
        "com.gold.",
        &too_long,
    ];
    let valid = ["com.example.loyalty_gold", "org.school.student", "c1.g2_", &fits];
    let mut sent: Vec<&str> = invalid.to_vec();
    sent.extend(valid.iter().chain(&valid));
    let body = json!({"line_items": [{"item": {"id": "a"}, "quantity": 1}], "context": {"eligibility": sent}});
    let request = read(body.to_string().as_bytes()).and_then(CheckoutBody::parse).expect("a checkout");
    assert_eq!(request.context.expect("a context").eligibility, valid);
}

#[test]
fn refusal_names_a_bounded_number_of_limits() {
    let destination = json!({"phone_number": "1".repeat(51), "postal_code": "1".repeat(51)});
    let body = json!({
        "line_items": [{"item": {"id": "a"}, "quantity": 1}],
        "fulfillment": {"methods": [{"destinations": vec![destination; CheckoutRequest::MAX_DESTINATIONS]}]},
    });
    let Err(Refused::InBand(messages)) = read::<CheckoutBody>(body.to_string().as_bytes()) else {
        panic!("not refused")
    };
    assert_eq!(messages.len(), MAX_MESSAGES);
}

#[test]
fn empty_optional_text_is_absent() {
    let kept = ["line_items[].item.id", "discounts.codes[]", "context.eligibility[]", "attribution{}"];
    for (path, _) in documented() {
        let mut document: Value = serde_json::from_slice(&body_with(&path, "")).expect("JSON");
        drop_empty_texts(&mut document, "");
        assert_eq!(document.to_string().contains("\"\""), kept.contains(&path.as_str()), "{path}");
    }
}

/// A text member without a documented limit is found by its declaration.
#[test]
fn every_text_of_a_request_has_a_documented_limit() {
    let sources =
        [include_str!("request.rs"), include_str!("../wire.rs").split("/// `types/item.json`").next().unwrap_or("")];
    let declared = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
        let (name, kind) = line.trim().trim_start_matches("pub ").trim_end_matches(',').split_once(": ")?;
        let kinds =
            ["String", "Option<String>", "Vec<String>", "Option<Vec<String>>", "Option<BTreeMap<String, String>>"];
        (line.starts_with("    ") && !line.starts_with("     ") && kinds.contains(&kind)).then_some(name)
    });
    let names: Vec<&str> = declared.map(|name| if name == "kind" { "type" } else { name }).collect();
    assert!(names.len() > 25, "{names:?}");
    let documented = documented();
    for name in names {
        let has_limit = documented.iter().any(|(path, _)| {
            let last = path.rsplit('.').next().unwrap_or_default();
            last.trim_end_matches("[]").trim_end_matches("{}") == name
        });
        assert!(has_limit, "docs/ERRORS.md has no limit for the text {name}");
    }
}
