//! The part of a platform's profile that the shop reads. Pure.

use serde_json::{Map, Value};
use url::Url;

use crate::outbound::MAX_URL_LENGTH;

/// The protocol version of the shop's order webhooks.
const VERSION: &str = "2026-04-08";
const ORDER: &str = "dev.ucp.shopping.order";

/// Checks a profile and returns the URL to which the platform wants webhooks about its orders. `None` if it wants no
/// webhooks. The error names the first member that is missing or wrong. The error contains no text of the profile.
pub fn validate_profile(document: &str) -> Result<Option<Url>, String> {
    let document: Value = serde_json::from_str(document).map_err(|error| {
        format!("not JSON: line {}, column {}", error.line(), error.column()) //
    })?;
    let document = document.as_object().ok_or("the profile is not an object")?;
    let ucp = object(document, "ucp", "ucp")?;
    version(ucp, "ucp.version")?;
    let capabilities = object(ucp, "capabilities", "ucp.capabilities")?;
    match capabilities.get(ORDER) {
        None => Ok(None),
        Some(Value::Array(entries)) => webhook_url(entries),
        Some(_) => Err(format!("ucp.capabilities.{ORDER} is not an array")),
    }
}

/// Returns the webhook URL from the entry with the shop's protocol version. If there is no such entry, uses the entry
/// with the highest version below it. `None` if there is no usable entry, or if it has no webhook URL.
fn webhook_url(entries: &[Value]) -> Result<Option<Url>, String> {
    let mut best: Option<(&str, usize, &Map<String, Value>)> = None;
    for (position, entry) in entries.iter().enumerate() {
        let at = format!("ucp.capabilities.{ORDER}[{position}]");
        let entry = entry.as_object().ok_or_else(|| format!("{at} is not an object"))?;
        let version = version(entry, &format!("{at}.version"))?;
        // Dates of the form `2026-04-08` can be compared as text.
        if version <= VERSION && best.is_none_or(|(other, ..)| other < version) {
            best = Some((version, position, entry));
        }
    }
    let Some((_, position, entry)) = best else { return Ok(None) };
    let at = format!("ucp.capabilities.{ORDER}[{position}].config");
    let config = match entry.get("config") {
        None | Some(Value::Null) => return Ok(None),
        Some(config) => config.as_object().ok_or_else(|| format!("{at} is not an object"))?,
    };
    let url = match config.get("webhook_url") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(url)) if url.len() <= MAX_URL_LENGTH => url,
        Some(_) => return Err(format!("{at}.webhook_url is not a text of at most {MAX_URL_LENGTH} bytes")),
    };
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    url.map(Some).ok_or_else(|| format!("{at}.webhook_url is not a web address"))
}

fn object<'a>(parent: &'a Map<String, Value>, name: &str, at: &str) -> Result<&'a Map<String, Value>, String> {
    let value = parent.get(name).ok_or_else(|| format!("{at} is missing"))?;
    value.as_object().ok_or_else(|| format!("{at} is not an object"))
}

/// The member `version`, which must be a date such as `2026-04-08`.
fn version<'a>(parent: &'a Map<String, Value>, at: &str) -> Result<&'a str, String> {
    let value = parent.get("version").ok_or_else(|| format!("{at} is missing"))?;
    let text = value.as_str().ok_or_else(|| format!("{at} is not a text"))?;
    let is_right = |(position, byte): (usize, u8)| match position {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let is_date = text.len() == 10 && text.bytes().enumerate().all(is_right);
    if is_date { Ok(text) } else { Err(format!("{at} is not a date such as {VERSION}")) }
}
