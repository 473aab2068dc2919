//! Rules that concern more than one setting, or that serde and validator cannot tell. What an adapter must judge, such as
//! an address or a sender, is asked of the composition root.

use url::Url;

use super::read::Mistakes;
use super::sections::Mode;
use super::{Config, PaymentConfig};

const ADDRESS: &str = "TUCKSHOP_HTTP_ADDRESS";

/// Notes everything that is wrong.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    mistakes.0.extend(crate::app::mistakes(config));
    public_url(config, mistakes);
    if config.mode == Mode::Production && config.simulation.enabled == Some(true) {
        mistakes.add("TUCKSHOP_SIMULATION_ENABLED", "simulation is refused in production mode");
    }
    match config.http.socket_address() {
        Ok(address) if config.mode == Mode::Development && !address.ip().is_loopback() => mistakes.add(
            ADDRESS,
            "development mode accepts loopback addresses only: anyone who reaches it can take goods for free",
        ),
        Ok(_) => {}
        Err(_) => mistakes.add(ADDRESS, "must be host:port, and the host must have an address"),
    }
    payment(config, mistakes);
    mail(config, mistakes);
    if config.checkout.completion_grace_ms < 2 * config.payment.call_timeout_ms {
        mistakes.add(
            "TUCKSHOP_CHECKOUT_COMPLETION_GRACE_MS",
            "must be at least twice TUCKSHOP_PAYMENT_CALL_TIMEOUT_MS: a completion makes two calls",
        );
    }
    if config.checkout.completion_minimum_ms > config.http.request_timeout_ms {
        mistakes.add(
            "TUCKSHOP_CHECKOUT_COMPLETION_MINIMUM_MS",
            "must not exceed TUCKSHOP_HTTP_REQUEST_TIMEOUT_MS: nothing could ever be completed",
        );
    }
}

fn payment(config: &Config, mistakes: &mut Mistakes) {
    let payment = &config.payment;
    if payment.gateway_url.is_some() && payment.gateway_key.is_none() {
        mistakes.add("TUCKSHOP_PAYMENT_GATEWAY_KEY", "is needed with TUCKSHOP_PAYMENT_GATEWAY_URL");
    }
    let own_words = payment.handler_name == PaymentConfig::default().handler_name;
    if config.mode == Mode::Production && payment.gateway_url.is_some() && own_words {
        mistakes
            .add("TUCKSHOP_PAYMENT_HANDLER_NAME", "production mode needs the name that platforms know the handler by");
    }
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&payment.handler_config).is_err() {
        mistakes.add("TUCKSHOP_PAYMENT_HANDLER_CONFIG", "must be a JSON object");
    }
}

fn mail(config: &Config, mistakes: &mut Mistakes) {
    let mail = &config.mail;
    if mail.host.is_some() && mail.from.is_none() {
        mistakes.add("TUCKSHOP_MAIL_FROM", "is needed with TUCKSHOP_MAIL_HOST");
    }
    if mail.username.is_some() != mail.password.is_some() {
        mistakes.add("TUCKSHOP_MAIL_PASSWORD", "and TUCKSHOP_MAIL_USERNAME are needed together");
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
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            mistakes.add(NAME, "must be an http or https URL");
        }
        Ok(url) if url.scheme() == "http" && config.mode == Mode::Production => {
            mistakes.add(NAME, "must be https in production mode");
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() || url.path() != "/" => {
            mistakes.add(NAME, "must have no path, query or fragment: the profile is served at its root");
        }
        Ok(_) if text.ends_with('/') => mistakes.add(NAME, "must not end in a slash"),
        Ok(_) => {}
        Err(_) => mistakes.add(NAME, "must be a URL"),
    }
}
