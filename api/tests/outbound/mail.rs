//! Order confirmations by email, sent to a real mail server (aiosmtpd) and parsed with Python's mail parser.

use std::net::SocketAddr;

use faultkit::{Fault, Proxy};
use serde_json::{Value, json};

use crate::database::{Database, stock};
use crate::kit::basket::{basket, complete_path, id, order_path, pay};
use crate::kit::command::{tuckshop, tuckshop_at};
use crate::kit::{Place, Server, until};
use crate::python::Script;
use crate::shop::{HASTY, ITEMS, Shop, card, serve};

const TO: &str = "ann.buyer@example.com";
const FROM: (&str, &str) = ("TUCKSHOP_MAIL_FROM", "Sweets <orders@sweets.example>");
const HOST: (&str, &str) = ("TUCKSHOP_MAIL_HOST", "127.0.0.1");

/// Starts a relay that accepts all mail, or only mail over TLS after a login. `None` without Python.
fn relay(kind: &str, login: &str) -> Option<(Script, SocketAddr, Value)> {
    let mut relay = Script::start("smtpd.py", &[kind, login, ""])?;
    let started = relay.next();
    let port = started["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    Some((relay, SocketAddr::from(([127, 0, 0, 1], port)), started["certificate"].clone()))
}

async fn open(place: &Place, port: u16, more: &[(&str, &str)]) -> Server {
    stock(place, ITEMS);
    let port = port.to_string();
    let mut settings = vec![HOST, FROM, ("TUCKSHOP_MAIL_PORT", port.as_str()), ("TUCKSHOP_SHOP_NAME", "Sweets & Co")];
    settings.extend(more);
    place.serve_with(&settings).await
}

/// Buys with or without an email address of the buyer.
async fn buy(server: &Server, email: Option<&str>) -> Value {
    let mut body = basket(&[("sample", 2)]);
    if let Some(email) = email {
        body["buyer"] = json!({"first_name": "Ann", "email": email});
    }
    let checkout = server.post("/checkout-sessions", &body).await.body(201);
    let done = server.post(&complete_path(&checkout), &pay("success_token")).await.body(200);
    server.get(&order_path(&done)).await.body(200)
}

fn emails(place: &Place) -> Vec<[String; 3]> {
    Database::open(place).rows(["state", "attempts", "last_error"], "FROM delivery WHERE channel = 'mail' ORDER BY id")
}

async fn all_are_delivered_at_attempt(place: &Place, number: &str) {
    until("every email is delivered", || async {
        emails(place).iter().all(|[state, ..]| state == "delivered").then_some(())
    })
    .await;
    assert!(emails(place).iter().all(|[_, attempts, _]| attempts == number), "{:?}", emails(place));
}

/// Over TLS and after a login, the relay gets one email for each order. It has a text and an HTML part, and a link to
/// the order page of the buyer.
async fn buyer_gets_one_confirmation_in_text_and_html_with_a_link(place: Place) {
    let Some((mut relay, address, certificate)) = relay("starttls", "login") else { return };
    let roots = place.directory().join("roots.pem");
    std::fs::write(&roots, certificate.as_str().expect("a certificate")).expect("written");
    let roots = roots.display().to_string();
    let protected = [
        ("TUCKSHOP_MAIL_TLS", "starttls"),
        ("TUCKSHOP_MAIL_CA_PATH", roots.as_str()),
        ("TUCKSHOP_MAIL_USERNAME", "shop"),
        ("TUCKSHOP_MAIL_PASSWORD", "relay word"),
    ];
    let server = open(&place, address.port(), &protected).await;
    for _ in 0..2 {
        let order = buy(&server, Some(TO)).await;
        let email = relay.next();
        assert_eq!((&email["from"], &email["to"]), (&json!("orders@sweets.example"), &json!([TO])));
        assert_eq!((&email["is_encrypted"], &email["login"]), (&json!(true), &json!("shop")));
        assert_eq!((&email["kind"], &email["defects"]), (&json!("multipart/alternative"), &json!([])));
        let link = order["permalink_url"].as_str().expect("a link");
        let [text, html] =
            [0, 1].map(|part| (&email["parts"][part][0], email["parts"][part][1].as_str().expect("text")));
        assert_eq!((text.0, html.0), (&json!("text/plain"), &json!("text/html")));
        assert!(html.1.contains(&format!("href=\"{link}\"")) && html.1.contains("Sweets &#38; Co"), "{}", html.1);
        assert!(text.1.contains(link) && text.1.contains("Sweets & Co"), "{}", text.1);
        for part in [text.1, html.1] {
            assert!(part.contains("The sample") && part.contains(id(&order)), "{part}");
        }
        let page = reqwest::get(link).await.expect("the page");
        assert_eq!(page.status().as_u16(), 200);
    }
    all_are_delivered_at_attempt(&place, "1").await;
    assert_eq!(emails(&place).len(), 2);

    // A buyer without an email address gets no email.
    let _ = buy(&server, None).await;
    let order = buy(&server, Some(TO)).await;
    let email = relay.next();
    assert!(email["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&order))), "{email}");
    assert_eq!(emails(&place).len(), 3);
}

/// The email stays pending while the relay is unreachable, and is delivered later.
async fn email_waits_for_an_unreachable_relay(place: Place) {
    let Some((mut relay, address, _)) = relay("none", "open") else { return };
    let proxy = Proxy::start(address);
    proxy.set(Fault::Refuse);
    let server = open(&place, proxy.address().port(), &[("TUCKSHOP_MAIL_TLS", "none")]).await;
    let order = buy(&server, Some(TO)).await;
    until("an attempt has failed", || async {
        let line = |line: &Value| line["msg"] == "message not sent" && line["destination"] == "mail";
        server.log().iter().any(line).then_some(())
    })
    .await;
    assert_eq!(emails(&place)[0][0], "pending");
    proxy.set(Fault::Pass);
    let email = relay.next();
    let named = |name: &str| email["headers"].as_array().and_then(|all| all.iter().find(|header| header[0] == name));
    let message_id = named("Message-ID").and_then(|header| header[1].as_str()).expect("an id").to_owned();
    let [[message]] =
        Database::open(&place).rows(["id"], "FROM delivery WHERE channel = 'mail'").try_into().expect("one");
    assert_eq!(message_id, format!("<{message}@sweets.example>"), "the same on every attempt");
    assert!(email["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&order))), "{email}");
    all_are_delivered_at_attempt(&place, "2").await;
}

/// An order that the reconciler places is confirmed like any other.
async fn reconciled_order_is_confirmed_by_email(place: Place) {
    let Some((mut relay, address, _)) = relay("none", "open") else { return };
    let port = address.port().to_string();
    let mut settings = vec![HOST, FROM, ("TUCKSHOP_MAIL_PORT", port.as_str()), ("TUCKSHOP_MAIL_TLS", "none")];
    settings.extend(HASTY);
    let shop = Shop::open(&place, &settings).await;
    let mut body = basket(&[("bun", 2)]);
    body["buyer"] = json!({"email": TO});
    let checkout = shop.server.post("/checkout-sessions", &body).await.body(201);
    let unknown = shop.server.post(&complete_path(&checkout), &card("pm_sim_charge_then_hang")).await.body(200);
    assert_eq!(unknown["status"], "complete_in_progress");
    let email = relay.next();
    let done = shop.wait_until_settled(&checkout).await;
    assert!(email["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&done["order"]))), "{email}");
    all_are_delivered_at_attempt(&place, "1").await;
}

/// Without a relay the shop queues no email and logs a line about mail.
async fn shop_without_a_relay_queues_no_email(place: Place) {
    stock(&place, ITEMS);
    let server = serve(&place, &[]).await;
    let _ = buy(&server, Some(TO)).await;
    assert_eq!(emails(&place), Vec::<[String; 3]>::new());
    let stopped = server.stop();
    let logged = stopped.log.iter().find(|line| line["msg"].as_str().is_some_and(|msg| msg.contains("mail")));
    assert!(logged.is_some(), "no line about mail: {:?}", stopped.log);
}

/// Emails that are pending when mail is turned off are reported, and an operator can drop them.
async fn pending_emails_without_a_relay_are_reported_and_can_be_dropped(place: Place) {
    let server = open(&place, 1, &[("TUCKSHOP_MAIL_TLS", "none")]).await;
    let _ = buy(&server, Some(TO)).await;
    let stopped = server.stop();
    let server = serve(&place, &[]).await;
    let warning = "email messages wait, and no mail relay is configured";
    assert!(!stopped.log.iter().any(|line| line["msg"] == warning));
    let warned = server.log().into_iter().find(|line| line["msg"] == warning).expect("a warning");
    assert_eq!((&warned["pending"], &warned["level"]), (&json!(1), &json!("warning")));

    let listed = tuckshop_at(&place, &["deliveries", "destinations"], &[]).out;
    let line = listed.lines().find(|line| line.starts_with("mail ")).unwrap_or_else(|| panic!("{listed}"));
    for part in
        ["  mail  pending 1 (oldest ", "no mail relay, unless the server has one: TUCKSHOP_MAIL_HOST is not set here"]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    let dropped = tuckshop_at(&place, &["deliveries", "drop", "--destination", "mail"], &[]);
    assert_eq!((dropped.code, dropped.out.as_str()), (0, "1 given up."), "{}", dropped.err);
    let [state, _, error] = &emails(&place)[0];
    assert_eq!((state.as_str(), error.as_str()), ("dead", "given up by hand"));
}

/// Mail settings that cannot work are refused at start, each with its name.
#[test]
fn unusable_mail_configuration_is_refused_at_start() {
    let far = ("TUCKSHOP_MAIL_HOST", "mail.example");
    let (open, login) = (("TUCKSHOP_MAIL_TLS", "none"), ("TUCKSHOP_MAIL_USERNAME", "shop"));
    let (secret, missing) = (("TUCKSHOP_MAIL_PASSWORD", "word"), ("TUCKSHOP_MAIL_CA_PATH", "/nowhere/roots.pem"));
    for (settings, expected) in [
        (&[HOST][..], "TUCKSHOP_MAIL_FROM: is needed"),
        (&[HOST, FROM, login], "TUCKSHOP_MAIL_PASSWORD: "),
        (&[HOST, FROM, ("TUCKSHOP_MAIL_TLS", "plain")], "TUCKSHOP_MAIL_TLS: "),
        (&[HOST, FROM, ("TUCKSHOP_MAIL_PORT", "0")], "TUCKSHOP_MAIL_PORT: "),
        (&[far, FROM, open], "TUCKSHOP_MAIL_TLS: mail without TLS is allowed only to "),
        (&[HOST, FROM, open, login, secret], "TUCKSHOP_MAIL_TLS: a password would be sent "),
        (&[HOST, ("TUCKSHOP_MAIL_FROM", "no-address")], "TUCKSHOP_MAIL_FROM: not a mail address"),
        (&[HOST, ("TUCKSHOP_MAIL_FROM", "ordérs@sweets.example")], "TUCKSHOP_MAIL_FROM: not a mail address"),
        (&[("TUCKSHOP_MAIL_HOST", "mail.example:587"), FROM], "TUCKSHOP_MAIL_HOST: not a host"),
        (&[HOST, FROM, missing], "TUCKSHOP_MAIL_CA_PATH: the file cannot be read: No such file"),
    ] {
        let finished = tuckshop(&["serve"], settings);
        assert_eq!(finished.code, 2, "{settings:?}: {}", finished.err);
        let mistakes: Vec<&str> = finished.err.lines().filter(|line| line.starts_with("TUCKSHOP_")).collect();
        assert_eq!(mistakes.len(), 1, "{settings:?}: {}", finished.err);
        assert!(mistakes[0].starts_with(expected), "{settings:?}: {}", finished.err);
    }
}

crate::on_both_engines!(buyer_gets_one_confirmation_in_text_and_html_with_a_link);

mod sqlite_only {
    use super::*;
    crate::on_sqlite!(
        email_waits_for_an_unreachable_relay,
        reconciled_order_is_confirmed_by_email,
        shop_without_a_relay_queues_no_email,
        pending_emails_without_a_relay_are_reported_and_can_be_dropped,
    );
}
