//! Rules about more than one setting, and rules that serde and validator cannot express. `app/settings.rs` adds the
//! checks that need an adapter.

use std::net::{IpAddr, SocketAddr};

use domain::secret::Secret;
use time::Date;
use time::macros::format_description;
use url::Url;

use super::read::Mistakes;
use super::sections::Mode;
use super::{Capture, Config, EmailProtection, PaymentConfig, ShopConfig};

const HANDLER_NAME: &str = "TUCKSHOP_PAYMENT_HANDLER_NAME";
const ADDRESS: &str = "TUCKSHOP_HTTP_ADDRESS";
const OPERATIONS: &str = "TUCKSHOP_OPERATIONS_ADDRESS";
/// The most calls to the payment gateway in one completion: open the payment, confirm it, and cancel it if it waits for
/// the buyer.
const GATEWAY_CALLS: u64 = 3;

/// Adds a mistake for every broken rule.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    public_url(config, mistakes);
    if config.mode == Mode::Production && config.simulation.enabled == Some(true) {
        mistakes.add("TUCKSHOP_SIMULATION_ENABLED", "simulation is refused in production mode");
    }
    if config.mode == Mode::Production && !config.http.trust_ucp_agent {
        mistakes.add(
            "TUCKSHOP_HTTP_TRUST_UCP_AGENT",
            "production mode needs `true`: signatures are not verified yet, so a caller that names a platform is taken for it. Read what that means in docs/CONFIGURATION.md",
        );
    }
    addresses(config, mistakes);
    if config.mode == Mode::Production && is_special_sqlite(config.database.url.expose()) {
        mistakes
            .add("TUCKSHOP_DATABASE_URL", "must be the path of a file in production mode: nothing in memory is kept");
    }
    shop(config, mistakes);
    payment(config, mistakes);
    mail(config, mistakes);
    if config.http.held_bytes < config.http.max_body_bytes.saturating_mul(2) {
        mistakes.add(
            "TUCKSHOP_HTTP_HELD_BYTES",
            "must be at least twice TUCKSHOP_HTTP_MAX_BODY_BYTES: the largest body in chunks would never be read",
        );
    }
    if config.checkout.completion_grace_ms < GATEWAY_CALLS * config.payment.call_timeout_ms {
        mistakes.add(
            "TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS",
            "must be at least three times TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS: a completion opens, confirms and may cancel",
        );
    }
    if config.checkout.completion_minimum_ms > config.http.request_timeout_ms {
        mistakes.add(
            "TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS",
            "must not exceed TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS: nothing could ever be completed",
        );
    }
}

fn addresses(config: &Config, mistakes: &mut Mistakes) {
    let (shop, operations) = (config.http.socket_address().map(Some), config.operations.socket_address());
    for (variable, address, danger) in [
        (ADDRESS, &shop, "anyone who reaches it can take goods for free"),
        (OPERATIONS, &operations, "anyone who reaches it can read what the shop is doing"),
    ] {
        match address {
            Ok(Some(address)) if config.mode == Mode::Development && !address.ip().is_loopback() => {
                mistakes.add(variable, format!("development mode accepts loopback addresses only: {danger}"));
            }
            Ok(_) => {}
            Err(_) => mistakes.add(variable, "must be host:port, and the host must have an address"),
        }
    }
    if let (Ok(Some(shop)), Ok(Some(operations))) = (shop, operations)
        && overlap(shop, operations)
    {
        mistakes.add(OPERATIONS, "must be another address than TUCKSHOP_HTTP_ADDRESS, or another port");
    }
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the two addresses exclude each other: a process that listens on one of them cannot listen on the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // An unspecified address covers every address of its family. The unspecified IPv6 address covers IPv4 too.
    let covers = |ip: IpAddr, covered: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || covered.is_ipv4());
    let (ip, another) = (one.ip(), other.ip());
    // Two addresses with port 0 never exclude each other, because the system picks a free port for each.
    one.port() != 0 && one.port() == other.port() && (ip == another || covers(ip, another) || covers(another, ip))
}

fn payment(config: &Config, mistakes: &mut Mistakes) {
    let payment = &config.payment;
    let has_gateway = payment.gateway_url.is_some();
    if has_gateway && payment.gateway_key.is_none() {
        mistakes.add("TUCKSHOP_PAYMENT_GATEWAY_KEY", "is needed with TUCKSHOP_PAYMENT_GATEWAY_URL");
    }
    for (variable, is_set) in [
        ("TUCKSHOP_PAYMENT_GATEWAY_KEY", payment.gateway_key.is_some()),
        ("TUCKSHOP_PAYMENT_EVENT_SECRETS", payment.event_secrets.is_some()),
        ("TUCKSHOP_PAYMENT_CAPTURE", payment.capture != Capture::default()),
    ] {
        if is_set && !has_gateway {
            mistakes.add(variable, "has no use without TUCKSHOP_PAYMENT_GATEWAY_URL");
        }
    }
    let is_secret = |secret: &Secret| secret.expose().strip_prefix("whsec_").is_some_and(is_one_word);
    if payment.event_secrets.is_some() && payment.event_secrets().is_empty() {
        mistakes.add("TUCKSHOP_PAYMENT_EVENT_SECRETS", "holds no secret");
    } else if !payment.event_secrets().iter().all(is_secret) {
        mistakes.add(
            "TUCKSHOP_PAYMENT_EVENT_SECRETS",
            "must be secrets that begin with `whsec_`, as the gateway shows them, separated by commas",
        );
    }
    let is_live = |key: &Secret| ["sk_live_", "rk_live_"].iter().any(|prefix| key.expose().starts_with(prefix));
    if config.mode == Mode::Development && payment.gateway_key.as_ref().is_some_and(is_live) {
        mistakes.add(
            "TUCKSHOP_PAYMENT_GATEWAY_KEY",
            "development mode refuses a live key: cards would be charged for a demo catalogue",
        );
    }
    // The parser accepts a sign before the year.
    let is_signed = payment.handler_version.starts_with(['+', '-']);
    if is_signed || Date::parse(&payment.handler_version, format_description!("[year]-[month]-[day]")).is_err() {
        mistakes.add("TUCKSHOP_PAYMENT_HANDLER_VERSION", "must be a date, YYYY-MM-DD");
    }
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&payment.handler_config).is_err() {
        mistakes.add("TUCKSHOP_PAYMENT_HANDLER_CONFIG", "must be a JSON object");
    }
    if !is_reversed_domain(&payment.handler_name) {
        mistakes.add(HANDLER_NAME, "must begin with a reversed domain, such as com.example.card");
    }
    if config.mode == Mode::Production && has_gateway {
        handler_description(payment, mistakes);
    } else {
        web_address("TUCKSHOP_PAYMENT_HANDLER_SPEC", &payment.handler_spec, config.mode, mistakes);
        web_address("TUCKSHOP_PAYMENT_HANDLER_SCHEMA", &payment.handler_schema, config.mode, mistakes);
    }
}

/// Checks for production that the published name, specification and schema of the handler are configured. UCP binds the
/// name to the domain that the name reverses, so both URLs must be at that domain.
fn handler_description(payment: &PaymentConfig, mistakes: &mut Mistakes) {
    let example = PaymentConfig::default();
    if payment.handler_name == example.handler_name {
        mistakes.add(HANDLER_NAME, "production mode needs the name that platforms know the handler by");
    }
    for (variable, url, example) in [
        ("TUCKSHOP_PAYMENT_HANDLER_SPEC", &payment.handler_spec, &example.handler_spec),
        ("TUCKSHOP_PAYMENT_HANDLER_SCHEMA", &payment.handler_schema, &example.handler_schema),
    ] {
        let parsed = Url::parse(url).ok();
        let host = parsed.as_ref().filter(|url| url.scheme() == "https").and_then(Url::domain);
        match host {
            _ if url == example => mistakes.add(variable, "production mode needs the handler's own"),
            Some(host) if has_authority(host, &payment.handler_name) => {}
            Some(_) => mistakes.add(
                variable,
                "must be at the domain that TUCKSHOP_PAYMENT_HANDLER_NAME reverses, or below it: platforms ignore it else",
            ),
            None => mistakes.add(variable, "must be an https URL with a domain"),
        }
    }
}

/// Whether the name is a reversed domain of at least two labels, followed by at least one label of the handler.
fn is_reversed_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_first = label.starts_with(|letter: char| letter.is_ascii_lowercase());
        is_first && label.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '_' | '-'))
    };
    name.split('.').count() > 2 && name.split('.').all(is_label)
}

/// Whether the last two labels of `host` are the first two labels of `name` in reverse order. `example.com` and
/// `docs.example.com` match `com.example.card`.
fn has_authority(host: &str, name: &str) -> bool {
    host.split('.').count() > 1 && host.rsplit('.').take(2).eq(name.split('.').take(2))
}

fn mail(config: &Config, mistakes: &mut Mistakes) {
    let mail = &config.mail;
    for (variable, is_set) in [
        ("TUCKSHOP_MAIL_FROM", mail.from.is_some()),
        ("TUCKSHOP_MAIL_USERNAME", mail.username.is_some()),
        ("TUCKSHOP_MAIL_PASSWORD", mail.password.is_some()),
        ("TUCKSHOP_MAIL_PORT", mail.port.is_some()),
        ("TUCKSHOP_MAIL_TLS", mail.tls != EmailProtection::default()),
        ("TUCKSHOP_MAIL_CA_PATH", mail.ca_path.is_some()),
    ] {
        if is_set && mail.host.is_none() {
            mistakes.add(variable, "has no use without TUCKSHOP_MAIL_HOST");
        }
    }
    if mail.host.is_none() {
        return;
    }
    if mail.from.is_none() {
        mistakes.add("TUCKSHOP_MAIL_FROM", "is needed with TUCKSHOP_MAIL_HOST");
    }
    match (&mail.username, &mail.password) {
        (Some(_), None) => mistakes.add("TUCKSHOP_MAIL_PASSWORD", "is needed with TUCKSHOP_MAIL_USERNAME"),
        (None, Some(_)) => mistakes.add("TUCKSHOP_MAIL_USERNAME", "is needed with TUCKSHOP_MAIL_PASSWORD"),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Whether SQLite would read the path as something other than a file: a database in memory, or a URI with options.
fn is_special_sqlite(url: &str) -> bool {
    url.strip_prefix("sqlite:").is_some_and(|rest| {
        let path = rest.trim_start_matches('/');
        path.is_empty() || path.contains(":memory:") || path.contains("mode=memory") || path.starts_with("file:")
    })
}

/// The form in which the shop publishes a checked URL: without a default port, in small letters. `None` if it is not a
/// URL.
pub(super) fn origin(text: &str) -> Option<String> {
    Url::parse(text).ok().map(|url| url.origin().ascii_serialization())
}

/// Checks that the currency is in use and that, in production, the shop's terms and privacy policy are configured.
fn shop(config: &Config, mistakes: &mut Mistakes) {
    if !config.shop.currency.is_in_use() {
        mistakes.add("TUCKSHOP_SHOP_CURRENCY", "must be a currency that is in use");
    }
    let example = ShopConfig::default();
    for (variable, url, example) in [
        ("TUCKSHOP_SHOP_TERMS_URL", &config.shop.terms_url, &example.terms_url),
        ("TUCKSHOP_SHOP_PRIVACY_URL", &config.shop.privacy_url, &example.privacy_url),
    ] {
        if config.mode == Mode::Production && url == example {
            mistakes.add(variable, "production mode needs the shop's own");
        }
        web_address(variable, url, config.mode, mistakes);
    }
}

/// Checks a URL that the shop publishes. Buyers and platforms open it, so it must not have a scheme such as
/// `javascript`. A text that is no URL is already a mistake.
fn web_address(variable: &str, text: &str, mode: Mode, mistakes: &mut Mistakes) {
    if let Some(mistake) = Url::parse(text).ok().and_then(|url| scheme_mistake(&url, mode)) {
        mistakes.add(variable, mistake);
    }
}

/// What is wrong with the scheme of a published URL.
fn scheme_mistake(url: &Url, mode: Mode) -> Option<&'static str> {
    match (url.scheme(), mode) {
        ("https", _) | ("http", Mode::Development) => None,
        ("http", Mode::Production) => Some("must be https in production mode"),
        _ => Some("must be an http or https URL"),
    }
}

fn public_url(config: &Config, mistakes: &mut Mistakes) {
    const NAME: &str = "TUCKSHOP_HTTP_PUBLIC_URL";
    let Some(text) = &config.http.public_url else {
        if config.mode == Mode::Production {
            mistakes.add(NAME, "production mode needs one: platforms must be able to come back");
        }
        return;
    };
    let parsed = Url::parse(text);
    if let Some(mistake) = parsed.as_ref().ok().and_then(|url| scheme_mistake(url, config.mode)) {
        return mistakes.add(NAME, mistake);
    }
    match parsed {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            mistakes.add(NAME, "must have no user information: the address is public");
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() || url.path() != "/" => {
            mistakes.add(NAME, "must have no path, query or fragment: the profile is served at its root");
        }
        Ok(_) if text.ends_with('/') => mistakes.add(NAME, "must not end in a slash"),
        Ok(_) => {}
        Err(_) => mistakes.add(NAME, "must be a URL"),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
