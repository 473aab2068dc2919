//! Letters to buyers, through the shop's mail relay (SMTP, RFC 5321).
//!
//! One connection for each letter: confirmations are few, and a pool would need a task of its own to look after it. A
//! letter arrives at least once: when the relay's answer to the whole letter is lost it is sent again, under the same
//! `Message-ID`, by which mailboxes tell a repetition.
//!
//! ```text
//!   message.rs what is sent: headers, two renderings of one text
//!   relay.rs   how it is sent, and what the relay's answers mean
//!   stream.rs  the connection, which bounds how much the relay may say
//! ```

mod message;
mod relay;
mod stream;

use std::net::Ipv6Addr;
use std::sync::Arc;

use domain::PortFuture;
use domain::context::RequestContext;
use domain::outbox::{Content, Finality, OutboxMessage, Receipt, SendError, Sender};
use domain::secret::Secret;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use url::Host;

use message::compose;
use relay::Relay;

/// How the connection to the relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailTls {
    /// From the first byte on, usually on port 465. To be preferred (RFC 8314).
    Implicit,
    /// From STARTTLS on, usually on port 587. A relay that does not offer it is not used.
    StartTls,
    /// Not at all: for a relay on this machine only.
    None,
}

#[derive(Clone, Debug)]
pub struct EmailConfig {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    pub credentials: Option<EmailCredentials>,
    /// Who writes, such as `Sweets <orders@sweets.example>`. Also where mailboxes send what they cannot take.
    pub from: String,
    /// Certificates in PEM that are trusted besides those of the operating system.
    pub extra_roots: Option<String>,
}

#[derive(Clone, Debug)]
pub struct EmailCredentials {
    pub username: String,
    pub password: Secret,
}

/// What of a [`EmailConfig`] cannot be.
#[derive(Debug, thiserror::Error)]
pub enum EmailConfigError {
    #[error("not a mail address in ASCII, such as `Sweets <orders@sweets.example>`")]
    From,
    #[error("not a host: a name or an address, without scheme or port")]
    Host,
    #[error("mail goes without TLS to localhost, 127.0.0.1 and ::1 only")]
    Unprotected,
    #[error("a password would go over a connection without TLS")]
    UnprotectedPassword,
    #[error("not certificates in PEM")]
    Roots,
    #[error("TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Hands letters to the relay.
#[derive(Clone)]
pub struct EmailSender(Arc<Office>);

struct Office {
    from: Mailbox,
    relay: Relay,
}

impl EmailSender {
    /// Does not connect yet: the relay need not be up when the shop starts.
    pub fn new(config: EmailConfig) -> Result<Self, EmailConfigError> {
        let from = sender(&config.from)?;
        check_host(&config.host)?;
        check_protection(config.tls, &config.host, config.credentials.is_some())?;
        let tls = match config.tls {
            EmailTls::None => None,
            EmailTls::Implicit | EmailTls::StartTls => Some(tls(&config.host, config.extra_roots.as_deref())?),
        };
        let relay = Relay::new(config, from.email.domain().to_owned(), tls);
        Ok(Self(Arc::new(Office { from, relay })))
    }
}

impl Sender for EmailSender {
    fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        let (this, ctx) = (Arc::clone(&self.0), ctx.clone());
        let letter = match &message.content {
            Content::Mail(letter) => compose(&this.from, message, letter),
            Content::Webhook { .. } => Err("not a letter"),
        };
        Box::pin(async move {
            let letter =
                letter.map_err(|reason| SendError { reason: reason.to_owned(), finality: Finality::Refused })?;
            let sent = tokio::time::timeout(ctx.deadline().remaining(), this.relay.send(&ctx, &letter));
            tokio::select! {
                biased;
                () = ctx.cancellation().cancelled() => Err(SendError::local("cancelled")),
                sent = sent => sent.unwrap_or_else(|_| Err(SendError::again("timeout"))).map(|()| Receipt::Accepted),
            }
        })
    }
}

/// Whether letters can come from there. Each of these checks concerns one setting, so that all that is wrong can be told
/// at once, setting by setting.
pub fn check_sender(from: &str) -> Result<(), EmailConfigError> {
    sender(from).map(drop)
}

/// Whether it can be the relay's host.
pub fn check_host(host: &str) -> Result<(), EmailConfigError> {
    let is_host = Host::parse(host).is_ok() || host.parse::<Ipv6Addr>().is_ok();
    if is_host { Ok(()) } else { Err(EmailConfigError::Host) }
}

/// Whether letters, and perhaps a password, may go to that host so protected.
pub fn check_protection(tls: EmailTls, host: &str, has_password: bool) -> Result<(), EmailConfigError> {
    match tls {
        EmailTls::None if !is_this_machine(host) => Err(EmailConfigError::Unprotected),
        EmailTls::None if has_password => Err(EmailConfigError::UnprotectedPassword),
        EmailTls::None | EmailTls::Implicit | EmailTls::StartTls => Ok(()),
    }
}

/// Whether these are certificates that can be trusted.
pub fn check_roots(pem: &str) -> Result<(), EmailConfigError> {
    let alone = TlsParameters::builder(String::new()).certificate_store(CertificateStore::None);
    alone.add_root_certificate(root(pem)?).build_rustls().map(drop).map_err(|_| EmailConfigError::Roots)
}

fn sender(from: &str) -> Result<Mailbox, EmailConfigError> {
    let from: Option<Mailbox> = from.parse().ok();
    from.filter(|from| from.email.to_string().is_ascii()).ok_or(EmailConfigError::From)
}

fn tls(host: &str, extra_roots: Option<&str>) -> Result<TlsParameters, EmailConfigError> {
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(pem) = extra_roots {
        tls = tls.add_root_certificate(root(pem)?);
    }
    tls.build_rustls().map_err(EmailConfigError::Tls)
}

fn root(pem: &str) -> Result<Certificate, EmailConfigError> {
    // No certificate at all is no error to the library, and would be a surprise to the operator.
    let has_any = pem.contains("-----BEGIN CERTIFICATE-----");
    Certificate::from_pem(pem.as_bytes()).ok().filter(|_| has_any).ok_or(EmailConfigError::Roots)
}

fn is_this_machine(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        // The parser knows IPv6 in brackets only.
        Err(_) => host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: &str, tls: EmailTls) -> EmailConfig {
        let from = "Sweets <orders@sweets.example>".to_owned();
        EmailConfig { host: host.to_owned(), port: 25, tls, credentials: None, from, extra_roots: None }
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
            assert_eq!(EmailSender::new(config(host, EmailTls::None)).is_ok(), is_allowed, "{host}");
            assert!(EmailSender::new(config(host, EmailTls::Implicit)).is_ok(), "{host}");
        }
        let password = Secret::new("word");
        let credentials = Some(EmailCredentials { username: "shop".to_owned(), password });
        let open = EmailSender::new(EmailConfig { credentials, ..config("localhost", EmailTls::None) });
        assert!(matches!(open.err(), Some(EmailConfigError::UnprotectedPassword)));
    }

    #[test]
    fn what_cannot_work_is_refused_at_start() {
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
}
