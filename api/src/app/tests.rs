//! Tests of this module.

use integrations::outbound::OutboundError;

use super::*;
use crate::config::Environment;

#[test]
fn start_error_shows_each_cause_once() {
    let refused = reqwest::Client::builder().user_agent("line\nbreak").build().expect_err("not a header");
    let cause = chain(&refused);
    assert!(cause.contains(": "), "the error of the library has a cause: {cause}");
    let error = StartError::from(OutboundError::from(refused));
    assert_eq!(error.to_string(), format!("the HTTP client cannot be set up: {cause}"));
}

#[test]
fn failed_tls_of_the_mail_relay_is_blamed_on_no_other_setting() {
    // The text is PEM, but its content is no certificate.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("roots.pem");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    let mut config = read_config(&Environment::default()).expect("the defaults");
    config.mail.host = Some("relay.example".to_owned());
    config.mail.from = Some("Sweets <orders@sweets.example>".to_owned());
    config.mail.ca_path = Some(path);
    let error = settings::mail(&config).err().expect("refused").to_string();
    let cause = error.strip_prefix("the mail relay cannot be used as configured: TLS cannot be set up: ");
    assert!(cause.is_some_and(|cause| !cause.is_empty()), "{error}");
}
