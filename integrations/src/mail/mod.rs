//! Letters to buyers, through the shop's mail relay (SMTP, RFC 5321).
//!
//! One connection for each letter: confirmations are few, and a pool would need a task of its own to look after it. A
//! letter arrives at least once: when the relay's answer to the whole letter is lost it is sent again, under the same
//! `Message-ID`, by which mailboxes tell a repetition.
//!
//! ```text
//!   letter.rs  what is sent: headers, two renderings of one text
//!   relay.rs   how it is sent, and what the relay's answers mean
//! ```

mod letter;
mod relay;

use std::sync::Arc;

use domain::PortFuture;
use domain::context::RequestContext;
use domain::delivery::{Content, Courier, Delivery, Failure, Finality, Receipt};
use domain::secret::Secret;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use url::Host;

use letter::compose;
use relay::Relay;

/// How the connection to the relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// From the first byte on, usually on port 465. To be preferred (RFC 8314).
    Implicit,
    /// From STARTTLS on, usually on port 587. A relay that does not offer it is not used.
    StartTls,
    /// Not at all: for a relay on this machine only.
    None,
}

#[derive(Clone, Debug)]
pub struct MailConfig {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub credentials: Option<MailCredentials>,
    /// Who writes, such as `Sweets <orders@sweets.example>`. Also where mailboxes send what they cannot take.
    pub from: String,
    /// Certificates in PEM that are trusted besides those of the operating system.
    pub extra_roots: Option<String>,
}

#[derive(Clone, Debug)]
pub struct MailCredentials {
    pub username: String,
    pub password: Secret,
}

/// What of a [`MailConfig`] cannot be.
#[derive(Debug, thiserror::Error)]
pub enum MailConfigError {
    #[error("the sender is not a mail address")]
    From,
    #[error("mail goes without TLS to localhost, 127.0.0.1 and ::1 only, and {0} is none of them")]
    Unprotected(String),
    #[error("a password would go over a connection without TLS")]
    UnprotectedPassword,
    #[error("the additional certificates are not certificates in PEM")]
    Roots,
    #[error("TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Hands letters to the relay.
#[derive(Clone)]
pub struct MailCourier(Arc<Office>);

struct Office {
    from: Mailbox,
    relay: Relay,
}

impl MailCourier {
    /// Does not connect yet: the relay need not be up when the shop starts.
    pub fn new(config: MailConfig) -> Result<Self, MailConfigError> {
        let from: Mailbox = config.from.parse().map_err(|_| MailConfigError::From)?;
        if !from.email.to_string().is_ascii() {
            return Err(MailConfigError::From);
        }
        let tls = match config.tls {
            MailTls::None if !is_this_machine(&config.host) => return Err(MailConfigError::Unprotected(config.host)),
            MailTls::None if config.credentials.is_some() => return Err(MailConfigError::UnprotectedPassword),
            MailTls::None => None,
            MailTls::Implicit | MailTls::StartTls => Some(tls(&config)?),
        };
        let relay = Relay::new(config, from.email.domain().to_owned(), tls);
        Ok(Self(Arc::new(Office { from, relay })))
    }
}

impl Courier for MailCourier {
    fn hand_over(&self, ctx: &RequestContext, delivery: &Delivery) -> PortFuture<Receipt, Failure> {
        let (this, ctx) = (Arc::clone(&self.0), ctx.clone());
        let letter = match &delivery.content {
            Content::Mail(letter) => compose(&this.from, delivery, letter),
            Content::Webhook { .. } => Err("not a letter"),
        };
        Box::pin(async move {
            let letter = letter.map_err(|reason| Failure { reason: reason.to_owned(), finality: Finality::Refused })?;
            let sent = tokio::time::timeout(ctx.deadline().remaining(), this.relay.send(&ctx, &letter));
            tokio::select! {
                biased;
                () = ctx.cancellation().cancelled() => Err(Failure::ours("cancelled")),
                sent = sent => sent.unwrap_or_else(|_| Err(Failure::again("timeout"))).map(|()| Receipt::Accepted),
            }
        })
    }
}

fn tls(config: &MailConfig) -> Result<TlsParameters, MailConfigError> {
    let mut tls = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.extra_roots {
        // No certificate at all is no error to the library, and would be a surprise to the operator.
        let has_any = pem.contains("-----BEGIN CERTIFICATE-----");
        let root = Certificate::from_pem(pem.as_bytes()).ok().filter(|_| has_any).ok_or(MailConfigError::Roots)?;
        tls = tls.add_root_certificate(root);
    }
    tls.build_rustls().map_err(MailConfigError::Tls)
}

fn is_this_machine(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        // The parser knows IPv6 in brackets only.
        Err(_) => host == "::1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: &str, tls: MailTls) -> MailConfig {
        let from = "Sweets <orders@sweets.example>".to_owned();
        MailConfig { host: host.to_owned(), port: 25, tls, credentials: None, from, extra_roots: None }
    }

    #[test]
    fn mail_goes_without_tls_to_this_machine_only() {
        for (host, is_allowed) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("[::1]", true),
            ("relay.example", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(MailCourier::new(config(host, MailTls::None)).is_ok(), is_allowed, "{host}");
            assert!(MailCourier::new(config(host, MailTls::Implicit)).is_ok(), "{host}");
        }
        let password = Secret::new("word");
        let credentials = Some(MailCredentials { username: "shop".to_owned(), password });
        let open = MailCourier::new(MailConfig { credentials, ..config("localhost", MailTls::None) });
        assert!(matches!(open.err(), Some(MailConfigError::UnprotectedPassword)));
    }

    #[test]
    fn what_cannot_work_is_refused_at_start() {
        for from in ["", "orders", "orders@", "Sweets <orders@sweets.example", "ordérs@sweets.example"] {
            let config = MailConfig { from: from.to_owned(), ..config("localhost", MailTls::None) };
            assert!(matches!(MailCourier::new(config).err(), Some(MailConfigError::From)), "{from:?}");
        }
        for roots in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let extra_roots = Some(roots.to_owned());
            let config = MailConfig { extra_roots, ..config("relay.example", MailTls::StartTls) };
            assert!(MailCourier::new(config).is_err(), "{roots:?}");
        }
    }
}
