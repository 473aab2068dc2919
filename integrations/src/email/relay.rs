//! One conversation with the relay, and what its answers mean for the letter.

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
use super::stream::{self, HeardTooMuch};
use super::{EmailConfig, EmailTls};

/// For one address of the relay; what is left of the deadline bounds them all.
const CONNECT: Duration = Duration::from_secs(5);
/// The letter is accepted or refused by then: taking leave is courtesy.
const FAREWELL: Duration = Duration::from_secs(1);
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

pub(super) struct Relay {
    host: String,
    port: u16,
    tls: Option<TlsParameters>,
    is_implicit: bool,
    credentials: Option<Credentials>,
    name: ClientId,
}

/// How far the conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connect,
    StartTls,
    Login,
    Sender,
    Recipient,
    EmailMessage,
}

impl Relay {
    /// `name` is what the shop calls itself there.
    pub(super) fn new(config: EmailConfig, name: String, tls: Option<TlsParameters>) -> Self {
        let is_implicit = config.tls == EmailTls::Implicit;
        let credentials = config.credentials.map(|known| {
            Credentials::new(known.username, known.password.expose().to_owned()) //
        });
        // Host names are resolved without the brackets of an IPv6 address.
        let host = config.host.trim_matches(['[', ']']).to_owned();
        Self { host, port: config.port, tls, is_implicit, credentials, name: ClientId::Domain(name) }
    }

    /// Takes until the relay has taken responsibility for the letter. The caller sets the deadline.
    pub(super) async fn send(&self, ctx: &RequestContext, letter: &Composed) -> Result<(), SendError> {
        let told = |(stage, error): (Stage, Trouble)| {
            if stage.is_operators_to_mend(&error) {
                error!(ctx.log(), "the mail relay refuses the shop itself: see its configuration";
                    "op" => "mail.send", "host" => &self.host, "error_code" => "mail_relay_refuses",
                    "stage" => stage.as_str(), "status" => error.status());
            }
            failure(stage, &error)
        };
        let mut connection = self.connect().await.map_err(told)?;
        let outcome = converse(&mut connection, letter).await;
        if outcome.as_ref().map_or_else(|(_, error)| error.status().is_some(), |()| true) {
            let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        }
        outcome.map_err(told)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, (Stage, Trouble)> {
        let stream = stream::connect(&self.host, self.port, CONNECT).await;
        let stream = stream.map_err(|error| (Stage::Connect, Trouble::Network(error)))?;
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

async fn converse(connection: &mut AsyncSmtpConnection, letter: &Composed) -> Result<(), (Stage, Trouble)> {
    let sender = Mail::new(Some(letter.from.clone()), Vec::new());
    connection.command(sender).await.map_err(|error| (Stage::Sender, error.into()))?;
    let recipient = Rcpt::new(letter.to.clone(), Vec::new());
    connection.command(recipient).await.map_err(|error| (Stage::Recipient, error.into()))?;
    connection.command(Data).await.map_err(|error| (Stage::EmailMessage, error.into()))?;
    connection.message(&letter.bytes).await.map_err(|error| (Stage::EmailMessage, error.into()))?;
    Ok(())
}

/// Why the conversation ended early.
enum Trouble {
    Network(io::Error),
    Smtp(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Smtp(error)
    }
}

impl Trouble {
    /// The code of the relay's answer, if it answered.
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
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::StartTls => "starttls",
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::EmailMessage => "letter",
        }
    }

    /// A refusal before the recipient is named says nothing of the letter: every other one would be refused too. So do
    /// 530 and 535, which ask for a login (RFC 4954, section 6), whenever they come.
    fn is_operators_to_mend(self, error: &Trouble) -> bool {
        let is_about_letter = matches!(self, Self::Recipient | Self::EmailMessage);
        let asks_for_login = matches!(error.status(), Some(530 | 535));
        error.is_permanent() && (!is_about_letter || asks_for_login)
    }
}

/// For good only if the relay refuses this recipient or this letter for good; anything else may be mended.
fn failure(stage: Stage, error: &Trouble) -> SendError {
    let is_refused = error.is_permanent() && !stage.is_operators_to_mend(error);
    let finality = if is_refused { Finality::Refused } else { Finality::Again { after: None } };
    SendError { reason: format!("{}: {}", stage.as_str(), cause(error)), finality }
}

/// In one or two words. The relay's own words may hold the buyer's address, so only their number is told.
fn cause(trouble: &Trouble) -> String {
    let error = match trouble {
        Trouble::Network(error) => return word_for(error).to_owned(),
        Trouble::Smtp(error) => error,
    };
    if let Some(code) = trouble.status() {
        let text = error.source().map(ToString::to_string);
        let detail = text.as_deref().and_then(|text| text.split_whitespace().next());
        return match detail.filter(|word| is_enhanced_status(word)) {
            Some(detail) => format!("{code} {detail}"),
            None => code.to_string(),
        };
    }
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(error) = source.downcast_ref::<io::Error>() {
            return word_for(error).to_owned();
        }
        next = source.source();
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
    if error.get_ref().is_some_and(|inner| inner.is::<HeardTooMuch>()) {
        return "answer_too_long";
    }
    match error.kind() {
        io::ErrorKind::TimedOut => "timeout",
        // How rustls tells of a certificate that it does not trust.
        io::ErrorKind::InvalidData => "tls",
        io::ErrorKind::ConnectionRefused => "unreachable",
        _ => "connection_lost",
    }
}

/// Such as `5.1.1` (RFC 3463).
fn is_enhanced_status(word: &str) -> bool {
    let parts: Vec<_> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}
