//! The email message in the format in which it is sent. Pure.

use std::time::SystemTime;

use domain::outbox::{EmailMessage, OutboxMessage};
use lettre::address::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use url::Host;

/// A message that is ready for the relay.
pub(super) struct Composed {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
}

/// Composes the message. Each attempt of an outbox message has the same headers, except for the random boundary of the
/// parts. An error is permanent.
pub(super) fn compose(from: &Mailbox, message: &OutboxMessage, email: &EmailMessage) -> Result<Composed, &'static str> {
    let to = address(&email.to).ok_or("not a mail address")?;
    let message_id = format!("<{}@{}>", message.id, from.email.domain());
    let composed = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(one_line(&email.subject))
        .message_id(Some(message_id))
        .date(SystemTime::from(message.occurred_at))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(email.text.clone(), email.html.clone()))
        .map_err(|_| "not an email message")?;
    Ok(Composed { from: from.email.clone(), to, bytes: composed.formatted() })
}

/// Converts the address to ASCII, for relays without SMTPUTF8. An international domain is converted. An international
/// local part has no form in ASCII, so the address is refused.
fn address(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    let address = match Host::parse(address.domain()) {
        Ok(Host::Domain(domain)) => Address::new(address.user(), domain).ok()?,
        _ => address,
    };
    let text: &str = address.as_ref();
    text.is_ascii().then_some(address)
}

/// Makes one line of limited length, so that names of products cannot break the subject. A long word cannot be folded,
/// and relays refuse lines of more than 998 bytes.
fn one_line(text: &str) -> String {
    const MAX_CHARACTERS: usize = 200;
    let characters = text.chars().take(MAX_CHARACTERS);
    characters.map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Marks the message as automatic, so that autoresponders do not answer it (RFC 3834, section 5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
