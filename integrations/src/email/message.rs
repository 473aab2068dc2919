//! The letter as it is sent. Pure.

use std::time::SystemTime;

use domain::outbox::{EmailMessage, OutboxMessage};
use lettre::address::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use url::Host;

/// Ready to be handed to a relay.
pub(super) struct Composed {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
}

/// Writes the letter. The same delivery always gives the same headers. The error says why it can never be sent.
pub(super) fn compose(
    from: &Mailbox,
    delivery: &OutboxMessage,
    letter: &EmailMessage,
) -> Result<Composed, &'static str> {
    let to = address(&letter.to).ok_or("not a mail address")?;
    let message_id = format!("<{}@{}>", delivery.id, from.email.domain());
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(one_line(&letter.subject))
        .message_id(Some(message_id))
        .date(SystemTime::from(delivery.occurred_at))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(|_| "not a letter")?;
    Ok(Composed { from: from.email.clone(), to, bytes: message.formatted() })
}

/// In ASCII, for relays without SMTPUTF8: an international domain has a spelling in ASCII, an international name before
/// the @ has none and is refused.
fn address(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    let address = match Host::parse(address.domain()) {
        Ok(Host::Domain(domain)) => Address::new(address.user(), domain).ok()?,
        _ => address,
    };
    let text: &str = address.as_ref();
    text.is_ascii().then_some(address)
}

/// A subject is one line, whatever is in a product's name, and not longer than anyone reads: a single word cannot be
/// folded, and relays refuse lines of more than 998 bytes.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// No person wrote this, so that no machine answers it (RFC 3834, section 5).
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
mod tests {
    use domain::clock::Timestamp;
    use domain::customer::Email;
    use domain::order::OrderId;
    use domain::outbox::{Content, EndpointHealth, OutboxMessageId};
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOON: Timestamp = datetime!(2026-04-08 12:00:05 UTC);

    fn written(from: &str, letter: &EmailMessage) -> Result<String, &'static str> {
        let delivery = OutboxMessage {
            id: OutboxMessageId::parse("msg_0196147f5b887b3a9c1d2e3f4a5b6c7d").expect("an id"),
            order: OrderId::generate(NOON),
            event: "order_placed".to_owned(),
            occurred_at: NOON,
            content: Content::Mail(letter.clone()),
            attempts: 1,
            health: EndpointHealth::Proven,
            claims: 1,
            caused_by: None,
        };
        let composed = compose(&from.parse().expect("a mailbox"), &delivery, letter)?;
        Ok(String::from_utf8(composed.bytes).expect("ASCII is UTF-8"))
    }

    fn letter(to: &str, subject: &str) -> EmailMessage {
        let text = "Gruß\n.\nBcc: text@evil.example\n".to_owned();
        EmailMessage { to: to.to_owned(), subject: subject.to_owned(), text, html: "<p>Gruß</p>".to_owned() }
    }

    fn headers(written: &str) -> Vec<&str> {
        let (headers, _) = written.split_once("\r\n\r\n").expect("headers and a body");
        headers.split("\r\n").collect()
    }

    #[test]
    fn the_same_delivery_has_the_same_headers_each_time() {
        let letter = letter("ann@buyers.example", "Your order");
        let first = written("Sweets <orders@sweets.example>", &letter).expect("written");
        for expected in [
            "Message-ID: <msg_0196147f5b887b3a9c1d2e3f4a5b6c7d@sweets.example>",
            "Date: Wed, 08 Apr 2026 12:00:05 +0000",
            "Auto-Submitted: auto-generated",
            "From: Sweets <orders@sweets.example>",
            "To: ann@buyers.example",
            "Subject: Your order",
            "MIME-Version: 1.0",
        ] {
            assert!(headers(&first).contains(&expected), "no {expected} in {first}");
        }
        assert!(first.is_ascii(), "{first}");
    }

    #[test]
    fn address_that_the_shop_accepts_keeps_its_local_part_and_can_be_mailed() {
        for (given, mailed) in [
            ("Ada.B+x@Example.com", "Ada.B+x@example.com"),
            ("o'brien@example.com", "o'brien@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ] {
            let email = Email::parse(given).expect("accepted");
            let written = written("orders@sweets.example", &letter(email.as_str(), "Your order")).expect("written");
            assert!(headers(&written).contains(&format!("To: {mailed}").as_str()), "{written}");
        }
        // What has no spelling in ASCII is refused at the door and by the mailer alike.
        assert_eq!(Email::parse("ädä@example.com"), None);
        assert!(written("orders@sweets.example", &letter("ädä@example.com", "Your order")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_the_shop_accepts_as_an_address_can_be_mailed(
            local in prop_oneof![3 => "[a-zA-Z0-9.+'_-]{1,10}", 1 => "[ -~]{1,6}", 1 => "\"[ -~]{0,6}\"", 1 => "\\PC{1,4}"],
            domain in prop_oneof![4 => "[a-z0-9-]{1,6}(\\.[a-z0-9äßü-]{1,5}){0,3}", 1 => "\\[?[0-9.:a-f]{1,12}\\]?", 1 => "\\PC{1,8}"],
        ) {
            if let Some(email) = Email::parse(&format!("{local}@{domain}")) {
                let written = written("orders@sweets.example", &letter(email.as_str(), "Your order"));
                prop_assert!(written.is_ok(), "{:?}: {:?}", email, written);
            }
        }
    }

    #[test]
    fn nothing_in_a_letter_becomes_a_header() {
        let evil = ["\r\nBcc: x@evil.example", "\nBcc: x@evil.example", "\r\n\r\n<script>", "\rBcc: x@evil.example"];
        for evil in evil {
            for subject in [format!("Your order{evil}"), evil.to_owned(), format!("Größe{evil}")] {
                let written =
                    written("orders@sweets.example", &letter("ann@buyers.example", &subject)).expect("written");
                assert_eq!(headers(&written).iter().filter(|line| line.starts_with("Subject:")).count(), 1);
                let mut lines = headers(&written).into_iter();
                assert!(!lines.any(|line| line.starts_with("Bcc") || line.contains('\r')), "{written}");
            }
            let to = format!("ann@buyers.example{evil}");
            assert_eq!(written("orders@sweets.example", &letter(&to, "x")).err(), Some("not a mail address"));
            let to = format!("ann{evil}@buyers.example");
            assert_eq!(written("orders@sweets.example", &letter(&to, "x")).err(), Some("not a mail address"));
        }
    }

    #[test]
    fn no_line_is_longer_than_a_relay_takes() {
        // RFC 5322, section 2.1.1. A list of products may well be one line of markup.
        for text in ["x".repeat(5_000), "ü".repeat(5_000), "a b ".repeat(2_000)] {
            let mut letter = letter("ann@buyers.example", &format!("Your order {}", &text[..2_000]));
            (letter.text, letter.html) = (text.clone(), format!("<p>{text}</p>"));
            let written = written("orders@sweets.example", &letter).expect("written");
            let longest = written.split("\r\n").max_by_key(|line| line.len()).expect("a line");
            assert!(longest.len() <= 998, "{} bytes: {longest}", longest.len());
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("ann@buyers.example", Some("ann@buyers.example")),
            ("ann+sweets@buyers.example", Some("ann+sweets@buyers.example")),
            ("ann@bücher.example", Some("ann@xn--bcher-kva.example")),
            ("änn@buyers.example", None),
            ("ann", None),
            ("", None),
            ("ann@", None),
            ("ann@buyers.example, bob@buyers.example", None),
            ("Ann <ann@buyers.example>", None),
            ("ann@buyers.example> SIZE=1", None),
            ("\"a\r\nb\"@buyers.example", None),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }
}
