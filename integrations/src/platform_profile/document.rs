//! What a platform's profile says, as far as the shop needs it. Pure.

use serde_json::{Map, Value};
use url::Url;

use crate::outbound::LONGEST_URL;

/// The version of the protocol in which orders are told.
const VERSION: &str = "2026-04-08";
const ORDER: &str = "dev.ucp.shopping.order";

/// The parts of a profile that matter for telling its platform about orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSummary {
    /// The version of the protocol that the platform speaks.
    pub version: String,
    /// Where it wants to be told about its orders; `None` if it does not.
    pub webhook_url: Option<Url>,
}

/// Reads a profile. The error names the first member that is missing or wrong.
pub fn validate_profile(document: &str) -> Result<ProfileSummary, String> {
    let document: Value = serde_json::from_str(document).map_err(|error| {
        format!("not JSON: line {}, column {}", error.line(), error.column()) //
    })?;
    let ucp = object(&document, "ucp")?;
    let version = text(ucp, "version").map_err(|what| format!("ucp.version {what}"))?;
    if !is_version(version) {
        return Err("ucp.version is not a date such as 2026-04-08".to_owned());
    }
    let capabilities = match ucp.get("capabilities") {
        None => return Err("ucp.capabilities is missing".to_owned()),
        Some(Value::Object(capabilities)) => capabilities,
        Some(_) => return Err("ucp.capabilities is not an object".to_owned()),
    };
    let webhook_url = match capabilities.get(ORDER) {
        None => None,
        Some(Value::Array(entries)) => webhook_url(entries)?,
        Some(_) => return Err(format!("ucp.capabilities.{ORDER} is not an array")),
    };
    Ok(ProfileSummary { version: version.to_owned(), webhook_url })
}

/// From the entry of our version, or else of the highest one below it. Newer ones are not ours to speak.
fn webhook_url(entries: &[Value]) -> Result<Option<Url>, String> {
    let mut best: Option<(&str, usize, &Map<String, Value>)> = None;
    for (position, entry) in entries.iter().enumerate() {
        let at = format!("ucp.capabilities.{ORDER}[{position}]");
        let entry = entry.as_object().ok_or_else(|| format!("{at} is not an object"))?;
        let version = text(entry, "version").map_err(|what| format!("{at}.version {what}"))?;
        if !is_version(version) {
            return Err(format!("{at}.version is not a date such as {VERSION}"));
        }
        // Dates of this form sort as text.
        if version <= VERSION && best.is_none_or(|(other, ..)| other < version) {
            best = Some((version, position, entry));
        }
    }
    let Some((_, position, entry)) = best else { return Ok(None) };
    let at = format!("ucp.capabilities.{ORDER}[{position}].config");
    let config = match entry.get("config") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(format!("{at} is not an object")),
    };
    let url = match config.get("webhook_url") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(url)) if url.len() <= LONGEST_URL => url,
        Some(_) => return Err(format!("{at}.webhook_url is not a text of at most {LONGEST_URL} bytes")),
    };
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    url.map(Some).ok_or_else(|| format!("{at}.webhook_url is not a web address"))
}

fn object<'a>(parent: &'a Value, name: &str) -> Result<&'a Map<String, Value>, String> {
    let parent = parent.as_object().ok_or("the profile is not an object")?;
    let value = parent.get(name).ok_or_else(|| format!("{name} is missing"))?;
    value.as_object().ok_or_else(|| format!("{name} is not an object"))
}

fn text<'a>(parent: &'a Map<String, Value>, name: &str) -> Result<&'a str, &'static str> {
    parent.get(name).ok_or("is missing")?.as_str().ok_or("is not a text")
}

/// Such as `2026-04-08`.
fn is_version(text: &str) -> bool {
    let is_right = |(position, byte): (usize, u8)| match position {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(order: Value) -> String {
        json!({"ucp": {"version": VERSION, "capabilities": {ORDER: order}}, "signing_keys": []}).to_string()
    }

    fn url_of(order: Value) -> Option<String> {
        validate_profile(&profile(order)).expect("a profile").webhook_url.map(String::from)
    }

    fn entry(version: &str, url: &str) -> Value {
        json!({"version": version, "spec": "https://ucp.dev/", "config": {"webhook_url": url}})
    }

    #[test]
    fn the_address_is_that_of_our_version_or_of_the_next_below() {
        let (older, old) = (entry("2025-09-01", "https://p.example/1"), entry("2026-01-23", "https://p.example/2"));
        let (ours, newer) = (entry(VERSION, "https://p.example/3?x=1"), entry("2026-08-25", "https://p.example/4"));
        for (entries, expected) in [
            (json!([older, old, ours, newer]), Some("https://p.example/3?x=1")),
            (json!([newer, ours, old]), Some("https://p.example/3?x=1")),
            (json!([newer, old, older]), Some("https://p.example/2")),
            (json!([newer]), None),
            (json!([]), None),
            (json!([{"version": VERSION}]), None),
            (json!([{"version": VERSION, "config": {}}]), None),
            (json!([{"version": VERSION, "config": {"webhook_url": null}}]), None),
            (json!([entry(VERSION, "http://127.0.0.1:9000/hook")]), Some("http://127.0.0.1:9000/hook")),
        ] {
            assert_eq!(url_of(entries.clone()).as_deref(), expected, "{entries}");
        }
    }

    #[test]
    fn a_platform_without_the_order_capability_takes_no_events() {
        let document = json!({"ucp": {"version": "2026-08-25", "capabilities": {}}}).to_string();
        let summary = ProfileSummary { version: "2026-08-25".to_owned(), webhook_url: None };
        assert_eq!(validate_profile(&document), Ok(summary));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let order = |config: Value| profile(json!([{"version": VERSION, "config": config}]));
        let at = "ucp.capabilities.dev.ucp.shopping.order";
        for (document, expected) in [
            (String::new(), "not JSON: line 1, column 0".to_owned()),
            ("{\"ucp\": ".to_owned(), "not JSON: line 1, column 8".to_owned()),
            ("[]".to_owned(), "the profile is not an object".to_owned()),
            ("{}".to_owned(), "ucp is missing".to_owned()),
            (json!({"ucp": 1}).to_string(), "ucp is not an object".to_owned()),
            (json!({"ucp": {}}).to_string(), "ucp.version is missing".to_owned()),
            (json!({"ucp": {"version": 1}}).to_string(), "ucp.version is not a text".to_owned()),
            (json!({"ucp": {"version": "latest"}}).to_string(), "ucp.version is not a date such as 2026-04-08".into()),
            (json!({"ucp": {"version": VERSION}}).to_string(), "ucp.capabilities is missing".to_owned()),
            (
                json!({"ucp": {"version": VERSION, "capabilities": []}}).to_string(),
                "ucp.capabilities is not an object".to_owned(),
            ),
            (profile(json!({})), format!("{at} is not an array")),
            (profile(json!([1])), format!("{at}[0] is not an object")),
            (profile(json!([{}])), format!("{at}[0].version is missing")),
            (
                profile(json!([entry("v1", "https://p.example/")])),
                format!("{at}[0].version is not a date such as 2026-04-08"),
            ),
            (order(json!("x")), format!("{at}[0].config is not an object")),
            (
                order(json!({"webhook_url": 1})),
                format!("{at}[0].config.webhook_url is not a text of at most 2048 bytes"),
            ),
            (order(json!({"webhook_url": "/hook"})), format!("{at}[0].config.webhook_url is not a web address")),
            (order(json!({"webhook_url": "file:///x"})), format!("{at}[0].config.webhook_url is not a web address")),
        ] {
            assert_eq!(validate_profile(&document), Err(expected), "{document}");
        }
        let deep = "[".repeat(100_000);
        assert!(validate_profile(&deep).expect_err("too deep").starts_with("not JSON"));
    }
}
