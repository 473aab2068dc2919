//! Tests of this module.

use super::*;
use crate::config::Environment;

/// The error of an adapter. Some errors leave their cause to the reader of the chain, and some repeat it.
#[derive(Debug, thiserror::Error)]
enum Outer {
    #[error("the client cannot be set up")]
    Silent(#[source] std::io::Error),
    #[error("the client cannot be set up: {0}")]
    Repeating(#[source] std::io::Error),
}

#[test]
fn start_error_shows_each_cause_once() {
    let cause = || std::io::Error::other("no certificates");
    for error in [Outer::Silent(cause()), Outer::Repeating(cause())] {
        let caused = StartError::caused("no gateway", &error);
        assert_eq!(caused.to_string(), "no gateway: the client cannot be set up: no certificates");
        assert_eq!(StartError::from(error).to_string(), "the client cannot be set up: no certificates");
    }
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
