//! One SMTP session with the relay, and what its responses mean for the email message.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use domain::context::RequestContext;
use domain::outbox::{Finality, SendError};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use slog::error;

use super::message::Composed;
use super::stream::{self, DataBeforeTls, ResponseTooLong};
use super::{EmailConfig, EmailTls};

/// The longest time to connect to one address of the relay. The deadline of the context limits the time for all
/// addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for QUIT. The response to QUIT does not matter, because the relay has already accepted or refused
/// the message.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

pub(super) struct Relay {
    host: String,
    port: u16,
    tls: Option<TlsParameters>,
    is_implicit: bool,
    credentials: Option<Credentials>,
    name: ClientId,
}

/// The stages of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
enum Stage {
    Connect,
    StartTls,
    Login,
    Sender,
    Recipient,
    Message,
}

impl Relay {
    /// `name` is the name of the shop in EHLO.
    pub(super) fn new(config: EmailConfig, name: String, tls: Option<TlsParameters>) -> Self {
        let is_implicit = config.tls == EmailTls::Implicit;
        let credentials = config.credentials.map(|known| {
            Credentials::new(known.username, known.password.expose().to_owned()) //
        });
        // A configured IPv6 address may have brackets, but the resolver accepts it only without them.
        let host = config.host.trim_matches(['[', ']']).to_owned();
        Self { host, port: config.port, tls, is_implicit, credentials, name: ClientId::Domain(name) }
    }

    /// Sends the message in a new session, which ends at the deadline or the cancellation of the context. `Ok` means
    /// that the relay has accepted the message. Nothing that happens after the relay's response to the message changes
    /// the outcome.
    pub(super) async fn send(&self, ctx: &RequestContext, email: &Composed) -> Result<(), SendError> {
        let reported = |(stage, error): (Stage, SessionError)| {
            if stage.needs_operator(&error) {
                error!(ctx.log(), "mail relay refused the shop: check the mail settings";
                    "op" => "mail.send", "host" => &self.host, "error_code" => "mail_relay_refuses",
                    "stage" => stage.into_str(), "status" => error.status());
            }
            failure(stage, &error)
        };
        let session = async {
            let mut connection = self.connect().await?;
            let outcome = transmit(&mut connection, email).await;
            Ok((connection, outcome))
        };
        let (mut connection, outcome) = within(ctx, session).await?.map_err(reported)?;
        if outcome.as_ref().map_or_else(|(_, error)| error.status().is_some(), |()| true) {
            let _ = within(ctx, tokio::time::timeout(QUIT_TIMEOUT, connection.quit())).await;
        }
        outcome.map_err(reported)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, (Stage, SessionError)> {
        let stream = stream::connect(&self.host, self.port, CONNECT_TIMEOUT).await;
        let stream = stream.map_err(|error| (Stage::Connect, SessionError::Network(error)))?;
        let implicit = self.tls.clone().filter(|_| self.is_implicit);
        let stream: Box<dyn AsyncTokioStream> = match implicit {
            Some(tls) => Box::new(stream.with_tls(tls).await.map_err(|error| (Stage::Connect, error.into()))?),
            None => Box::new(stream),
        };
        let connection = AsyncSmtpConnection::connect_with_transport(stream, &self.name).await;
        let mut connection = connection.map_err(|error| (Stage::Connect, error.into()))?;
        if let Some(tls) = self.tls.clone().filter(|_| !self.is_implicit) {
            connection.starttls(tls, &self.name).await.map_err(|error| (Stage::StartTls, error.into()))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(MECHANISMS, credentials).await.map_err(|error| (Stage::Login, error.into()))?;
        }
        Ok(connection)
    }
}

/// Ends `work` at the deadline or the cancellation of the context. A result that is ready at that moment counts.
async fn within<T>(ctx: &RequestContext, work: impl Future<Output = T>) -> Result<T, SendError> {
    tokio::select! {
        biased;
        done = tokio::time::timeout(ctx.deadline().remaining(), work) => done.map_err(|_| SendError::again("timeout")),
        () = ctx.cancellation().cancelled() => Err(SendError::local("cancelled")),
    }
}

async fn transmit(connection: &mut AsyncSmtpConnection, email: &Composed) -> Result<(), (Stage, SessionError)> {
    let sender = Mail::new(Some(email.from.clone()), Vec::new());
    connection.command(sender).await.map_err(|error| (Stage::Sender, error.into()))?;
    let recipient = Rcpt::new(email.to.clone(), Vec::new());
    connection.command(recipient).await.map_err(|error| (Stage::Recipient, error.into()))?;
    connection.command(Data).await.map_err(|error| (Stage::Message, error.into()))?;
    connection.message(&email.bytes).await.map_err(|error| (Stage::Message, error.into()))?;
    Ok(())
}

/// Why the session failed.
enum SessionError {
    Network(io::Error),
    Smtp(Error),
}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self::Smtp(error)
    }
}

impl SessionError {
    /// The status code of the relay's response. `None` if there was no response.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Network(_) => None,
            Self::Smtp(error) => error.status().map(u16::from),
        }
    }

    fn is_permanent(&self) -> bool {
        matches!(self, Self::Smtp(error) if error.is_permanent())
    }
}

impl Stage {
    /// Whether the operator must correct the configuration, because the relay would refuse every message. That is the
    /// case if the relay refuses permanently before the recipient is named. It is also the case after 530 and 535,
    /// which ask for a login (RFC 4954, section 6).
    fn needs_operator(self, error: &SessionError) -> bool {
        let is_about_message = matches!(self, Self::Recipient | Self::Message);
        let asks_for_login = matches!(error.status(), Some(530 | 535));
        error.is_permanent() && (!is_about_message || asks_for_login)
    }
}

/// Returns the error for the outbox. It is permanent only if the relay permanently refuses this recipient or this
/// message.
fn failure(stage: Stage, error: &SessionError) -> SendError {
    let is_refused = error.is_permanent() && !stage.needs_operator(error);
    let finality = if is_refused { Finality::Refused } else { Finality::Again { after: None } };
    SendError { reason: format!("{}: {}", stage.into_str(), cause(error)), finality }
}

/// Describes the cause in one or two words. The text of the relay may contain the buyer's address, so only the codes in
/// the text are used.
fn cause(error: &SessionError) -> String {
    let status = error.status();
    let error = match error {
        SessionError::Network(error) => return word_for(error).to_owned(),
        SessionError::Smtp(error) => error,
    };
    if let Some(code) = status {
        let text = error.source().map(ToString::to_string);
        let detail = text.as_deref().and_then(|text| text.split_whitespace().next());
        return match detail.filter(|word| is_enhanced_status(word)) {
            Some(detail) => format!("{code} {detail}"),
            None => code.to_string(),
        };
    }
    let mut sources = std::iter::successors(error.source(), |&error| error.source());
    if let Some(error) = sources.find_map(|source| source.downcast_ref::<io::Error>()) {
        return word_for(error).to_owned();
    }
    let word = if error.is_tls() {
        "tls"
    } else if error.is_client() {
        "not_offered"
    } else if error.is_response() {
        "not_understood"
    } else {
        "connection_lost"
    };
    word.to_owned()
}

fn word_for(error: &io::Error) -> &'static str {
    if error.get_ref().is_some_and(|inner| inner.is::<ResponseTooLong>()) {
        return "answer_too_long";
    }
    if error.get_ref().is_some_and(|inner| inner.is::<DataBeforeTls>()) {
        return "data_before_tls";
    }
    match error.kind() {
        io::ErrorKind::TimedOut => "timeout",
        // rustls uses this kind for a certificate that is not trusted.
        io::ErrorKind::InvalidData => "tls",
        io::ErrorKind::ConnectionRefused => "unreachable",
        _ => "connection_lost",
    }
}

/// Whether the word is an enhanced status code, such as `5.1.1` (RFC 3463).
fn is_enhanced_status(word: &str) -> bool {
    let parts: Vec<_> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
