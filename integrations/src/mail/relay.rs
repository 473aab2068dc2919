//! One conversation with the relay, and what its answers mean for the letter.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use domain::context::RequestContext;
use domain::delivery::{Failure, Finality};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use slog::error;

use super::letter::Composed;
use super::{MailConfig, MailTls};

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
    Letter,
}

impl Relay {
    /// `name` is what the shop calls itself there.
    pub(super) fn new(config: MailConfig, name: String, tls: Option<TlsParameters>) -> Self {
        let is_implicit = config.tls == MailTls::Implicit;
        let credentials = config.credentials.map(|known| {
            Credentials::new(known.username, known.password.expose().to_owned()) //
        });
        // Host names are resolved without the brackets of an IPv6 address.
        let host = config.host.trim_matches(['[', ']']).to_owned();
        Self { host, port: config.port, tls, is_implicit, credentials, name: ClientId::Domain(name) }
    }

    /// Takes until the relay has taken responsibility for the letter. The caller sets the deadline.
    pub(super) async fn send(&self, ctx: &RequestContext, letter: &Composed) -> Result<(), Failure> {
        let told = |(stage, error): (Stage, Error)| {
            if stage.is_operators_to_mend(&error) {
                error!(ctx.log(), "the mail relay refuses the shop itself: see its configuration";
                    "op" => "mail.send", "host" => &self.host, "error_code" => "mail_relay_refuses",
                    "stage" => stage.as_str(), "status" => error.status().map(u16::from));
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

    async fn connect(&self) -> Result<AsyncSmtpConnection, (Stage, Error)> {
        let implicit = self.tls.clone().filter(|_| self.is_implicit);
        let to = (self.host.as_str(), self.port);
        let connection = AsyncSmtpConnection::connect_tokio1(to, Some(CONNECT), &self.name, implicit, None).await;
        let mut connection = connection.map_err(|error| (Stage::Connect, error))?;
        if let Some(tls) = self.tls.clone().filter(|_| !self.is_implicit) {
            connection.starttls(tls, &self.name).await.map_err(|error| (Stage::StartTls, error))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(MECHANISMS, credentials).await.map_err(|error| (Stage::Login, error))?;
        }
        Ok(connection)
    }
}

async fn converse(connection: &mut AsyncSmtpConnection, letter: &Composed) -> Result<(), (Stage, Error)> {
    let sender = Mail::new(Some(letter.from.clone()), Vec::new());
    connection.command(sender).await.map_err(|error| (Stage::Sender, error))?;
    let recipient = Rcpt::new(letter.to.clone(), Vec::new());
    connection.command(recipient).await.map_err(|error| (Stage::Recipient, error))?;
    connection.command(Data).await.map_err(|error| (Stage::Letter, error))?;
    connection.message(&letter.bytes).await.map_err(|error| (Stage::Letter, error))?;
    Ok(())
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::StartTls => "starttls",
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Letter => "letter",
        }
    }

    /// A refusal before the recipient is named says nothing of the letter: every other one would be refused too. So do
    /// 530 and 535, which ask for a login (RFC 4954, section 6), whenever they come.
    fn is_operators_to_mend(self, error: &Error) -> bool {
        let is_about_letter = matches!(self, Self::Recipient | Self::Letter);
        let asks_for_login = matches!(error.status().map(u16::from), Some(530 | 535));
        error.is_permanent() && (!is_about_letter || asks_for_login)
    }
}

/// For good only if the relay refuses this recipient or this letter for good; anything else may be mended.
fn failure(stage: Stage, error: &Error) -> Failure {
    let is_refused = error.is_permanent() && !stage.is_operators_to_mend(error);
    let finality = if is_refused { Finality::Refused } else { Finality::Again { after: None } };
    Failure { reason: format!("{}: {}", stage.as_str(), cause(error)), finality }
}

/// In one or two words. The relay's own words may hold the buyer's address, so only their number is told.
fn cause(error: &Error) -> String {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        let detail = text.split_whitespace().next().filter(|word| is_enhanced_status(word));
        return match detail {
            Some(detail) => format!("{} {detail}", u16::from(code)),
            None => u16::from(code).to_string(),
        };
    }
    let mut next = error.source();
    while let Some(source) = next {
        match source.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return "timeout".to_owned(),
            // How rustls tells of a certificate that it does not trust.
            Some(io::ErrorKind::InvalidData) => return "tls".to_owned(),
            Some(io::ErrorKind::ConnectionRefused) => return "unreachable".to_owned(),
            Some(_) => return "connection_lost".to_owned(),
            None => next = source.source(),
        }
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

/// Such as `5.1.1` (RFC 3463).
fn is_enhanced_status(word: &str) -> bool {
    let parts: Vec<_> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}
