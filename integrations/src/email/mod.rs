//! Email to buyers, through the shop's mail relay (SMTP, RFC 5321).
//!
//! Each email message is sent over a new connection, because there are few messages and a pool would need a background
//! task. A message is delivered at least once: if the relay's last response is lost, the message is sent again with the
//! same `Message-ID`, by which mailboxes recognise duplicates.
//!
//! ```text
//!   message.rs the email message: headers, text and HTML
//!   relay.rs   the SMTP session, and the meaning of the relay's responses
//!   stream.rs  the connection, which bounds how much the relay may send
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
    /// TLS from the first byte on, usually on port 465. RFC 8314 recommends this kind.
    Implicit,
    /// TLS after STARTTLS, usually on port 587. A relay that does not offer STARTTLS gets no message.
    StartTls,
    /// No TLS, for a relay on this machine only.
    None,
}

#[derive(Clone, Debug)]
pub struct EmailConfig {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    pub credentials: Option<EmailCredentials>,
    /// The sender, such as `Sweets <orders@sweets.example>`. Bounces go to this address too.
    pub from: String,
    /// Certificates in PEM that are trusted in addition to those of the operating system.
    pub extra_roots: Option<String>,
}

#[derive(Clone, Debug)]
pub struct EmailCredentials {
    pub username: String,
    pub password: Secret,
}

/// What is wrong with an [`EmailConfig`].
#[derive(Debug, thiserror::Error)]
pub enum EmailConfigError {
    #[error("not a mail address in ASCII, such as `Sweets <orders@sweets.example>`")]
    From,
    #[error("not a host: a name or an address, without scheme or port")]
    Host,
    #[error("mail without TLS is allowed only to localhost, 127.0.0.1 and ::1")]
    Unprotected,
    #[error("a password would be sent without TLS")]
    UnprotectedPassword,
    #[error("not certificates in PEM")]
    Roots,
    #[error("TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Sends email messages to the relay.
#[derive(Clone)]
pub struct EmailSender(Arc<Mailer>);

struct Mailer {
    from: Mailbox,
    relay: Relay,
}

impl EmailSender {
    /// Checks the configuration. Does not connect, so that the shop can start while the relay is down.
    pub fn new(config: EmailConfig) -> Result<Self, EmailConfigError> {
        let from = sender(&config.from)?;
        check_host(&config.host)?;
        check_protection(config.tls, &config.host, config.credentials.is_some())?;
        let tls = match config.tls {
            EmailTls::None => None,
            EmailTls::Implicit | EmailTls::StartTls => Some(tls(&config.host, config.extra_roots.as_deref())?),
        };
        let relay = Relay::new(config, from.email.domain().to_owned(), tls);
        Ok(Self(Arc::new(Mailer { from, relay })))
    }
}

impl Sender for EmailSender {
    fn send(&self, ctx: &RequestContext, message: &OutboxMessage) -> PortFuture<Receipt, SendError> {
        let (this, ctx) = (Arc::clone(&self.0), ctx.clone());
        let email = match &message.content {
            Content::Mail(email) => compose(&this.from, message, email),
            Content::Webhook { .. } => Err("not an email message"),
        };
        Box::pin(async move {
            let email = email.map_err(|reason| SendError { reason: reason.to_owned(), finality: Finality::Refused })?;
            this.relay.send(&ctx, &email).await.map(|()| Receipt::Accepted)
        })
    }
}

/// Checks the sender's address. There is one check function for each setting, so that all wrong settings can be
/// reported at once.
pub fn check_sender(from: &str) -> Result<(), EmailConfigError> {
    sender(from).map(drop)
}

/// Checks the host of the relay.
pub fn check_host(host: &str) -> Result<(), EmailConfigError> {
    let is_host = Host::parse(host).is_ok() || host.parse::<Ipv6Addr>().is_ok();
    if is_host { Ok(()) } else { Err(EmailConfigError::Host) }
}

/// Checks that messages, and possibly a password, may be sent to this host with this protection.
pub fn check_protection(tls: EmailTls, host: &str, has_password: bool) -> Result<(), EmailConfigError> {
    match tls {
        EmailTls::None if !is_this_machine(host) => Err(EmailConfigError::Unprotected),
        EmailTls::None if has_password => Err(EmailConfigError::UnprotectedPassword),
        EmailTls::None | EmailTls::Implicit | EmailTls::StartTls => Ok(()),
    }
}

/// Checks certificates in PEM.
pub fn check_roots(pem: &str) -> Result<(), EmailConfigError> {
    let roots = TlsParameters::builder(String::new()).certificate_store(CertificateStore::None);
    roots.add_root_certificate(root(pem)?).build_rustls().map(drop).map_err(|_| EmailConfigError::Roots)
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
    // The library accepts a text without certificates, which would surprise the operator.
    let has_any = pem.contains("-----BEGIN CERTIFICATE-----");
    Certificate::from_pem(pem.as_bytes()).ok().filter(|_| has_any).ok_or(EmailConfigError::Roots)
}

fn is_this_machine(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        // The URL parser accepts an IPv6 address only in brackets.
        Err(_) => host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
    }
}
