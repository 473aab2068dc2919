//! Tests of `message.rs`.

use domain::clock::Timestamp;
use domain::customer::Email;
use domain::order::OrderId;
use domain::outbox::{Content, EndpointHealth, OutboxMessageId};
use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOON: Timestamp = datetime!(2026-04-08 12:00:05 UTC);

fn written(from: &str, email: &EmailMessage) -> Result<String, &'static str> {
    let message = OutboxMessage {
        id: OutboxMessageId::parse("msg_0196147f5b887b3a9c1d2e3f4a5b6c7d").expect("an id"),
        order: OrderId::generate(NOON),
        event: "order_placed".to_owned(),
        occurred_at: NOON,
        content: Content::Mail(email.clone()),
        attempts: 1,
        health: EndpointHealth::Proven,
        failures_before: 0,
        claims: 1,
        caused_by: None,
    };
    let composed = compose(&from.parse().expect("a mailbox"), &message, email)?;
    Ok(String::from_utf8(composed.bytes).expect("ASCII is UTF-8"))
}

fn email(to: &str, subject: &str) -> EmailMessage {
    let text = "Gruß\n.\nBcc: text@evil.example\n".to_owned();
    EmailMessage { to: to.to_owned(), subject: subject.to_owned(), text, html: "<p>Gruß</p>".to_owned() }
}

fn headers(written: &str) -> Vec<&str> {
    let (headers, _) = written.split_once("\r\n\r\n").expect("headers and a body");
    headers.split("\r\n").collect()
}

#[test]
fn message_has_the_same_headers_for_each_attempt() {
    let email = email("ann@buyers.example", "Your order");
    let first = written("Sweets <orders@sweets.example>", &email).expect("written");
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
fn accepted_address_keeps_its_local_part() {
    for (given, mailed) in [
        ("Ada.B+x@Example.com", "Ada.B+x@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ] {
        let accepted = Email::parse(given).expect("accepted");
        let written = written("orders@sweets.example", &email(accepted.as_str(), "Your order")).expect("written");
        assert!(headers(&written).contains(&format!("To: {mailed}").as_str()), "{written}");
    }
    // An address that has no form in ASCII is refused when the buyer enters it and when it is mailed.
    assert_eq!(Email::parse("ädä@example.com"), None);
    assert!(written("orders@sweets.example", &email("ädä@example.com", "Your order")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn accepted_address_can_be_mailed(
        local in prop_oneof![3 => "[a-zA-Z0-9.+'_-]{1,10}", 1 => "[ -~]{1,6}", 1 => "\"[ -~]{0,6}\"", 1 => "\\PC{1,4}"],
        domain in prop_oneof![4 => "[a-z0-9-]{1,6}(\\.[a-z0-9äßü-]{1,5}){0,3}", 1 => "\\[?[0-9.:a-f]{1,12}\\]?", 1 => "\\PC{1,8}"],
    ) {
        if let Some(accepted) = Email::parse(&format!("{local}@{domain}")) {
            let written = written("orders@sweets.example", &email(accepted.as_str(), "Your order"));
            prop_assert!(written.is_ok(), "{:?}: {:?}", accepted, written);
        }
    }
}

#[test]
fn line_break_adds_no_header() {
    let evil = ["\r\nBcc: x@evil.example", "\nBcc: x@evil.example", "\r\n\r\n<script>", "\rBcc: x@evil.example"];
    for evil in evil {
        for subject in [format!("Your order{evil}"), evil.to_owned(), format!("Größe{evil}")] {
            let written = written("orders@sweets.example", &email("ann@buyers.example", &subject)).expect("written");
            assert_eq!(headers(&written).iter().filter(|line| line.starts_with("Subject:")).count(), 1);
            let mut lines = headers(&written).into_iter();
            assert!(!lines.any(|line| line.starts_with("Bcc") || line.contains('\r')), "{written}");
        }
        let to = format!("ann@buyers.example{evil}");
        assert_eq!(written("orders@sweets.example", &email(&to, "x")).err(), Some("not a mail address"));
        let to = format!("ann{evil}@buyers.example");
        assert_eq!(written("orders@sweets.example", &email(&to, "x")).err(), Some("not a mail address"));
    }
}

#[test]
fn lines_are_at_most_998_bytes_long() {
    // The limit is from RFC 5322, section 2.1.1. A list of products may be one long line of HTML.
    for text in ["x".repeat(5_000), "ü".repeat(5_000), "a b ".repeat(2_000)] {
        let mut email = email("ann@buyers.example", &format!("Your order {}", &text[..2_000]));
        (email.text, email.html) = (text.clone(), format!("<p>{text}</p>"));
        let written = written("orders@sweets.example", &email).expect("written");
        let longest = written.split("\r\n").max_by_key(|line| line.len()).expect("a line");
        assert!(longest.len() <= 998, "{} bytes: {longest}", longest.len());
    }
}

#[test]
fn addresses_are_converted_to_ascii_or_refused() {
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
