//! Sends email messages to a real mail server (aiosmtpd) and to servers that fail. Python's mail parser reads the
//! messages that arrive at the real server.

use std::time::Duration;

use domain::context::Stopwatch;
use domain::outbox::{Content, EmailMessage, Finality, OutboxMessage, Receipt, SendError, Sender};
use domain::secret::Secret;
use integrations::email::{EmailConfig, EmailCredentials, EmailSender, EmailTls};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::kit::python::Script;
use crate::kit::{failed, outbox_message};
use crate::network::{AMPLE, Lines, SOON, ctx, ctx_with};

const TO: &str = "ann@buyers.example";
const WORD: &str = "relay word";

fn email() -> OutboxMessage {
    outbox_message(Content::Mail(EmailMessage {
        to: TO.to_owned(),
        subject: "Deine Bestellung: Süßes für 12 €".to_owned(),
        text: "Hallo Ann,\n\n.\n2 × Gummibärchen\n".to_owned(),
        html: "<p>2 × <b>Gummibärchen</b></p>\n".to_owned(),
    }))
}

fn config(port: u16, tls: EmailTls) -> EmailConfig {
    let from = "Süßes <orders@sweets.example>".to_owned();
    EmailConfig { host: "127.0.0.1".to_owned(), port, tls, credentials: None, from, extra_roots: None }
}

fn credentials(word: &str) -> Option<EmailCredentials> {
    Some(EmailCredentials { username: "shop".to_owned(), password: Secret::new(word) })
}

fn sender(config: EmailConfig) -> EmailSender {
    EmailSender::new(config).expect("a sender")
}

/// Starts a mail server, and returns it with the configuration for it. `None` if there is no Python.
fn server(tls: EmailTls, login: &str, answer: &str) -> Option<(Script, EmailConfig)> {
    let name = match tls {
        EmailTls::None => "none",
        EmailTls::StartTls => "starttls",
        EmailTls::Implicit => "implicit",
    };
    let mut server = Script::start("smtpd.py", &[name, login, answer])?;
    let started = server.next();
    let port = started["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
    let extra_roots = started["certificate"].as_str().filter(|_| tls != EmailTls::None).map(str::to_owned);
    Some((server, EmailConfig { extra_roots, ..config(port, tls) }))
}

fn header<'a>(received: &'a Value, name: &str) -> Option<&'a str> {
    let headers = received["headers"].as_array().expect("headers");
    headers.iter().find(|header| header[0] == name)?[1].as_str()
}

#[tokio::test]
async fn message_arrives_unchanged_over_each_kind_of_connection() {
    for (tls, login) in [(EmailTls::None, false), (EmailTls::StartTls, true), (EmailTls::Implicit, false)] {
        let Some((mut server, config)) = server(tls, if login { "login" } else { "open" }, "") else { return };
        let sender = sender(EmailConfig { credentials: credentials(WORD).filter(|_| login), ..config });
        let message = email();
        for _ in 0..2 {
            assert_eq!(sender.send(&ctx(AMPLE), &message).await, Ok(Receipt::Accepted), "{tls:?}");
            let received = server.next();
            assert_eq!(received["from"], "orders@sweets.example");
            assert_eq!(received["to"], json!([TO]));
            assert_eq!(received["is_encrypted"], json!(tls != EmailTls::None), "{tls:?}");
            assert_eq!(received["login"], if login { json!("shop") } else { Value::Null });
            assert_eq!(received["kind"], "multipart/alternative");
            assert_eq!(received["defects"], json!([]));
            let (text, html) = ("Hallo Ann,\n\n.\n2 × Gummibärchen\n", "<p>2 × <b>Gummibärchen</b></p>\n");
            assert_eq!(received["parts"], json!([["text/plain", text], ["text/html", html]]));
            for (name, expected) in [
                ("Subject", "Deine Bestellung: Süßes für 12 €"),
                ("From", "Süßes <orders@sweets.example>"),
                ("To", TO),
                ("Date", "Wed, 08 Apr 2026 12:00:00 +0000"),
                ("Auto-Submitted", "auto-generated"),
                ("Message-ID", &format!("<{}@sweets.example>", message.id)),
            ] {
                assert_eq!(header(&received, name), Some(expected), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn refusal_of_the_relay_is_permanent_or_retried() {
    for (answer, reason, finality) in [
        ("RCPT 550 5.1.1 no ann@buyers.example here", "recipient: 550 5.1.1", Finality::Refused),
        ("RCPT 550 no such user", "recipient: 550", Finality::Refused),
        ("RCPT 451 4.7.1 greylisted", "recipient: 451 4.7.1", Finality::Again { after: None }),
        ("RCPT 421 4.3.2 shutting down", "recipient: 421 4.3.2", Finality::Again { after: None }),
        ("RCPT 530 5.7.0 log in first", "recipient: 530 5.7.0", Finality::Again { after: None }),
        ("MAIL 553 5.1.8 who are you", "sender: 553 5.1.8", Finality::Again { after: None }),
        ("MAIL 452 4.3.1 full", "sender: 452 4.3.1", Finality::Again { after: None }),
        ("DATA 554 5.7.1 spam", "message: 554 5.7.1", Finality::Refused),
        ("DATA 452 4.2.2 full", "message: 452 4.2.2", Finality::Again { after: None }),
    ] {
        let Some((_server, config)) = server(EmailTls::None, "open", answer) else { return };
        let outcome = sender(config).send(&ctx(AMPLE), &email()).await;
        assert_eq!(outcome, Err(SendError { reason: reason.to_owned(), finality }), "{answer}");
    }
}

#[tokio::test]
async fn wrong_password_is_retried_and_not_logged() {
    let Some((_server, config)) = server(EmailTls::Implicit, "login", "") else { return };
    let lines = Lines::default();
    let refused = sender(EmailConfig { credentials: credentials("wrong word"), ..config.clone() });
    assert_eq!(failed(refused.send(&ctx_with(&lines, AMPLE), &email()).await), "login: 535 5.7.8");
    let logged = lines.all().join("\n");
    assert!(logged.contains("error_code=mail_relay_refuses"), "{logged}");
    assert!(!logged.contains("wrong word") && !logged.contains(TO), "{logged}");
    let open = sender(EmailConfig { credentials: None, ..config });
    assert_eq!(failed(open.send(&ctx(AMPLE), &email()).await), "sender: 530 5.7.0");
}

#[tokio::test]
async fn untrusted_relay_receives_nothing() {
    for tls in [EmailTls::Implicit, EmailTls::StartTls] {
        let Some((_server, config)) = server(tls, "open", "") else { return };
        let stranger = sender(EmailConfig { extra_roots: None, ..config.clone() });
        let reason = failed(stranger.send(&ctx(AMPLE), &email()).await);
        assert!(reason.ends_with(": tls"), "{reason}");
        let misnamed = sender(EmailConfig { host: "localhost".to_owned(), ..config });
        let reason = failed(misnamed.send(&ctx(AMPLE), &email()).await);
        assert!(reason.ends_with(": tls"), "{reason}");
    }
    // The relay, or an attacker on the way to it, does not offer STARTTLS.
    let Some((_server, config)) = server(EmailTls::None, "open", "") else { return };
    let downgraded = sender(EmailConfig { tls: EmailTls::StartTls, ..config });
    assert_eq!(failed(downgraded.send(&ctx(AMPLE), &email()).await), "starttls: not_offered");
}

#[tokio::test]
async fn invalid_address_is_refused_without_a_connection() {
    let sender = sender(config(1, EmailTls::None));
    for to in ["", "ann", "ann@buyers.example\r\nRCPT TO:<x@evil.example>", "a@b.example, c@d.example"] {
        let Content::Mail(email) = email().content else { unreachable!("an email message") };
        let message = outbox_message(Content::Mail(EmailMessage { to: to.to_owned(), ..email }));
        let failure = sender.send(&ctx(AMPLE), &message).await.expect_err("no address");
        assert_eq!(failure, SendError { reason: "not a mail address".to_owned(), finality: Finality::Refused }, "{to}");
    }
}

/// Starts a relay that answers each connection, and then each line, with the next of `answers`. After the last answer
/// it closes the connection or hangs.
async fn scripted(answers: &'static [&'static str], then_hangs: bool) -> (EmailConfig, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            for (number, answer) in answers.iter().enumerate() {
                let mut line = String::new();
                let is_connected = number == 0 || stream.read_line(&mut line).await.is_ok_and(|length| length > 0);
                if !is_connected || stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
            if then_hangs {
                std::future::pending::<()>().await;
            }
        }
    });
    (config(port, EmailTls::None), serving)
}

const GREETING: &str = "220 relay\r\n";
const HELLO: &str = "250 relay\r\n";
const OK: &str = "250 ok\r\n";

#[tokio::test]
async fn hanging_relay_ends_at_the_deadline() {
    let steps: [&[&str]; 5] =
        [&[], &[GREETING], &[GREETING, HELLO], &[GREETING, HELLO, OK, OK], &[GREETING, HELLO, OK, OK, "354 go on\r\n"]];
    for answers in steps {
        let (config, _serving) = scripted(answers, true).await;
        let watch = Stopwatch::start();
        let outcome = sender(config).send(&ctx(Duration::from_millis(300)), &email()).await;
        assert_eq!(failed(outcome), "timeout", "{answers:?}");
        assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
    }
}

#[tokio::test]
async fn broken_connection_or_protocol_is_retried() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "connect: not_understood"),
        (&["HTTP/1.1 400 Bad Request\r\n"], "connect: not_understood"),
        (&["554 go away\r\n"], "connect: 554"),
        (&[GREETING, HELLO, OK], "recipient: not_understood"),
        (&[GREETING, HELLO, OK, OK, "354 go on\r\n"], "message: not_understood"),
        (&[GREETING, HELLO, "250 "], "sender: not_understood"),
    ];
    for (answers, expected) in cases {
        let (config, _serving) = scripted(answers, false).await;
        let reason = failed(sender(config).send(&ctx(SOON), &email()).await);
        // The operating system decides whether the shop sees a reset or the end of the stream first.
        let lost = expected.replace("not_understood", "connection_lost");
        assert!(reason == expected || reason == lost, "{answers:?}: {reason}");
    }
    let unused = faultkit::Port::keep();
    let closed = sender(config(unused.address().port(), EmailTls::None));
    assert_eq!(failed(closed.send(&ctx(SOON), &email()).await), "connect: unreachable");
}

/// Forwards the first connection to `relay`. Appends `injected` to the response to STARTTLS.
async fn attacker_in_front_of(relay: u16, injected: &'static str) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut shop = BufReader::new(listener.accept().await.expect("a connection").0);
        let mut relay = BufReader::new(TcpStream::connect(("127.0.0.1", relay)).await.expect("connected"));
        let mut command = String::new();
        while !command.starts_with("STARTTLS") {
            command.clear();
            let mut response = String::new();
            while relay.read_line(&mut response).await.is_ok_and(|length| length > 0) {
                if response.lines().next_back().is_none_or(|line| line.as_bytes().get(3) != Some(&b'-')) {
                    break;
                }
            }
            shop.write_all(response.as_bytes()).await.expect("sent");
            shop.read_line(&mut command).await.expect("a command");
            relay.write_all(command.as_bytes()).await.expect("sent");
        }
        let mut response = String::new();
        relay.read_line(&mut response).await.expect("a response");
        shop.write_all([&response, injected].concat().as_bytes()).await.expect("sent");
        // Either side may end the session. The test judges what the shop took for the outcome.
        let _ = tokio::io::copy_bidirectional(&mut shop, &mut relay).await;
    });
    (port, serving)
}

#[tokio::test]
async fn responses_injected_before_tls_do_not_count_as_acceptance() {
    let Some((_server, config)) = server(EmailTls::StartTls, "open", "RCPT 451 4.7.1 greylisted") else { return };
    for (injected, expected) in [
        ("", "recipient: 451 4.7.1"),
        ("250 relay\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n", "starttls: data_before_tls"),
    ] {
        let (port, _serving) = attacker_in_front_of(config.port, injected).await;
        let outcome = sender(EmailConfig { port, ..config.clone() }).send(&ctx(AMPLE), &email()).await;
        assert_eq!(failed(outcome), expected);
    }
}

/// The most bytes that the relay can send before the shop closes the connection, including those in the buffers of the
/// sockets.
const MAX_SENT: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn endless_response_ends_the_session_at_once() {
    let steps: [&'static [&'static str]; 4] =
        [&[], &[GREETING], &[GREETING, HELLO, OK], &[GREETING, HELLO, OK, OK, "354 go on\r\n"]];
    for (tls, endless) in [(EmailTls::None, "x"), (EmailTls::None, "250-x\r\n"), (EmailTls::Implicit, "x")] {
        for answers in steps {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("bound").port();
            let mut serving = JoinSet::new();
            serving.spawn(async move {
                let (stream, _) = listener.accept().await.expect("a connection");
                let mut stream = BufReader::new(stream);
                for (number, answer) in answers.iter().enumerate() {
                    let mut line = String::new();
                    if number > 0 {
                        let _ = stream.read_line(&mut line).await;
                    }
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                let (mut sent, piece) = (0, endless.repeat(16 * 1024));
                // The amount is limited so that a failing test does not use up the memory of the machine.
                while sent < 4 * MAX_SENT && stream.write_all(piece.as_bytes()).await.is_ok() {
                    sent += piece.len();
                }
                sent
            });
            let outcome = sender(config(port, tls)).send(&ctx(AMPLE), &email()).await;
            let reason = failed(outcome);
            assert!(!reason.ends_with("timeout"), "{tls:?} {answers:?}: {reason}");
            let sent = serving.join_next().await.expect("one").expect("it ended");
            assert!(sent < MAX_SENT, "{tls:?} {answers:?}: {sent} bytes were received");
        }
    }
}

/// Starts a relay that answers the message with `answer` and does not answer QUIT. The channel reports that QUIT has
/// arrived.
async fn relay_that_ignores_quit(answer: &'static str) -> (EmailConfig, oneshot::Receiver<()>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (quits, has_quit) = oneshot::channel();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let mut has_begun = false;
        stream.write_all(GREETING.as_bytes()).await.expect("sent");
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("read");
            let answer = match line.trim_end() {
                "DATA" => {
                    has_begun = true;
                    "354 go on\r\n"
                }
                // A dot ends the message, whose other lines have no answer.
                "." => answer,
                "QUIT" => break,
                _ if has_begun => continue,
                _ => OK,
            };
            stream.write_all(answer.as_bytes()).await.expect("sent");
        }
        quits.send(()).expect("the test waits");
        std::future::pending::<()>().await;
    });
    (config(port, EmailTls::None), has_quit, serving)
}

#[tokio::test]
async fn unanswered_quit_does_not_change_the_outcome() {
    let refused = SendError { reason: "message: 554".to_owned(), finality: Finality::Refused };
    for (answer, expected) in [(OK, Ok(Receipt::Accepted)), ("554 spam\r\n", Err(refused))] {
        // The time for QUIT passes.
        let (config, _has_quit, _serving) = relay_that_ignores_quit(answer).await;
        assert_eq!(sender(config).send(&ctx(AMPLE), &email()).await, expected);
        // The deadline passes during QUIT. It is shorter than the time for QUIT, so a slow machine may reach it earlier.
        for attempt in 1.. {
            let (config, mut has_quit, _serving) = relay_that_ignores_quit(answer).await;
            let outcome = sender(config).send(&ctx(Duration::from_millis(900)), &email()).await;
            if has_quit.try_recv().is_ok() {
                assert_eq!(outcome, expected);
                break;
            }
            assert!(attempt < 10, "no session has reached QUIT in time");
        }
        // The shop stops during QUIT.
        let (config, has_quit, _serving) = relay_that_ignores_quit(answer).await;
        let (sender, ctx, message) = (sender(config), ctx(AMPLE), email());
        let stop = async {
            has_quit.await.expect("the session has reached QUIT");
            ctx.cancellation().cancel();
        };
        let (outcome, ()) = tokio::join!(sender.send(&ctx, &message), stop);
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn cancellation_ends_the_session() {
    let (config, _serving) = scripted(&[GREETING], true).await;
    let (sender, ctx, message) = (sender(config), ctx(AMPLE), email());
    let sending = sender.send(&ctx, &message);
    ctx.cancellation().cancel();
    assert_eq!(sending.await, Err(SendError::local("cancelled")));
}
