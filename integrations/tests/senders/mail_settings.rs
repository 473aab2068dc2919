//! Which settings of the mail relay are accepted.

use domain::secret::Secret;
use integrations::email::{EmailConfig, EmailConfigError, EmailCredentials, EmailSender, EmailTls, check_roots};

fn config(host: &str, tls: EmailTls) -> EmailConfig {
    let from = "Sweets <orders@sweets.example>".to_owned();
    EmailConfig { host: host.to_owned(), port: 25, tls, credentials: None, from, extra_roots: None }
}

#[test]
fn relay_without_tls_must_be_on_this_machine() {
    for (host, is_allowed) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("[::1]", true),
        ("relay.example", false),
        ("10.0.0.1", false),
        ("localhost.example", false),
    ] {
        assert_eq!(EmailSender::new(config(host, EmailTls::None)).is_ok(), is_allowed, "{host}");
        assert!(EmailSender::new(config(host, EmailTls::Implicit)).is_ok(), "{host}");
    }
    let password = Secret::new("word");
    let credentials = Some(EmailCredentials { username: "shop".to_owned(), password });
    let open = EmailSender::new(EmailConfig { credentials, ..config("localhost", EmailTls::None) });
    assert!(matches!(open.err(), Some(EmailConfigError::UnprotectedPassword)));
}

#[test]
fn wrong_settings_are_refused() {
    for from in ["", "orders", "orders@", "Sweets <orders@sweets.example", "ordérs@sweets.example"] {
        let config = EmailConfig { from: from.to_owned(), ..config("localhost", EmailTls::None) };
        assert!(matches!(EmailSender::new(config).err(), Some(EmailConfigError::From)), "{from:?}");
    }
    for roots in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let extra_roots = Some(roots.to_owned());
        let config = EmailConfig { extra_roots, ..config("relay.example", EmailTls::StartTls) };
        assert!(EmailSender::new(config).is_err(), "{roots:?}");
        assert!(matches!(check_roots(roots), Err(EmailConfigError::Roots)), "{roots:?}");
    }
    for host in ["", "relay.example:587", "smtps://relay.example", "relay example", "::1:25:"] {
        let refused = EmailSender::new(config(host, EmailTls::Implicit));
        assert!(matches!(refused.err(), Some(EmailConfigError::Host)), "{host:?}");
    }
}
