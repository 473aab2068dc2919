//! Order confirmations, over a real mail server (aiosmtpd), read back by Python's own mail parser.

use std::net::SocketAddr;

use faultkit::{Fault, Proxy};
use serde_json::{Value, json};

use crate::books::{Books, stock};
use crate::kit::basket::{basket, complete_path, id, order_path, pay};
use crate::kit::command::{tuckshop, tuckshop_at};
use crate::kit::{Place, Server, until};
use crate::python::Script;
use crate::shop::{HASTY, ITEMS, Shop, card, serve};

const TO: &str = "ann.buyer@example.com";
const FROM: (&str, &str) = ("TUCKSHOP_MAIL_FROM", "Sweets <orders@sweets.example>");
const HOST: (&str, &str) = ("TUCKSHOP_MAIL_HOST", "127.0.0.1");

/// A relay that takes everything, or only what is encrypted and from someone who has logged in. `None` without Python.
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

/// Buys as someone who can be written to.
async fn bought(server: &Server, email: Option<&str>) -> Value {
    let mut body = basket(&[("sample", 2)]);
    if let Some(email) = email {
        body["buyer"] = json!({"first_name": "Ann", "email": email});
    }
    let checkout = server.post("/checkout-sessions", &body).await.body(201);
    let done = server.post(&complete_path(&checkout), &pay("success_token")).await.body(200);
    server.get(&order_path(&done)).await.body(200)
}

fn letters(place: &Place) -> Vec<[String; 3]> {
    Books::open(place).rows(["state", "attempts", "last_error"], "FROM delivery WHERE channel = 'mail' ORDER BY id")
}

async fn all_are_delivered_at_try(place: &Place, number: &str) {
    until("every letter is delivered", || async {
        letters(place).iter().all(|[state, ..]| state == "delivered").then_some(())
    })
    .await;
    assert!(letters(place).iter().all(|[_, attempts, _]| attempts == number), "{:?}", letters(place));
}

/// Over an encrypted connection, after a login: one letter for each order, with both its forms, and a link that leads to
/// the buyer's page.
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
        let order = bought(&server, Some(TO)).await;
        let letter = relay.next();
        assert_eq!((&letter["from"], &letter["to"]), (&json!("orders@sweets.example"), &json!([TO])));
        assert_eq!((&letter["is_encrypted"], &letter["login"]), (&json!(true), &json!("shop")));
        assert_eq!((&letter["kind"], &letter["defects"]), (&json!("multipart/alternative"), &json!([])));
        let link = order["permalink_url"].as_str().expect("a link");
        let [text, html] =
            [0, 1].map(|part| (&letter["parts"][part][0], letter["parts"][part][1].as_str().expect("text")));
        assert_eq!((text.0, html.0), (&json!("text/plain"), &json!("text/html")));
        assert!(html.1.contains(&format!("href=\"{link}\"")) && html.1.contains("Sweets &#38; Co"), "{}", html.1);
        assert!(text.1.contains(link) && text.1.contains("Sweets & Co"), "{}", text.1);
        for part in [text.1, html.1] {
            assert!(part.contains("The sample") && part.contains(id(&order)), "{part}");
        }
        let page = reqwest::get(link).await.expect("the page");
        assert_eq!(page.status().as_u16(), 200);
    }
    all_are_delivered_at_try(&place, "1").await;
    assert_eq!(letters(&place).len(), 2);

    // Whoever left no address is not written to.
    let _ = bought(&server, None).await;
    let order = bought(&server, Some(TO)).await;
    let letter = relay.next();
    assert!(letter["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&order))), "{letter}");
    assert_eq!(letters(&place).len(), 3);
}

/// The relay is away for a while: the letter waits, and arrives.
async fn email_waits_for_an_unreachable_relay(place: Place) {
    let Some((mut relay, address, _)) = relay("none", "open") else { return };
    let way = Proxy::start(address);
    way.set(Fault::Refuse);
    let server = open(&place, way.address().port(), &[("TUCKSHOP_MAIL_TLS", "none")]).await;
    let order = bought(&server, Some(TO)).await;
    until("it was tried in vain", || async {
        let line = |line: &Value| line["msg"] == "message not handed over" && line["destination"] == "mail";
        server.log().iter().any(line).then_some(())
    })
    .await;
    assert_eq!(letters(&place)[0][0], "pending");
    way.set(Fault::Pass);
    let letter = relay.next();
    let named = |name: &str| letter["headers"].as_array().and_then(|all| all.iter().find(|header| header[0] == name));
    let message_id = named("Message-ID").and_then(|header| header[1].as_str()).expect("an id").to_owned();
    let [[message]] = Books::open(&place).rows(["id"], "FROM delivery WHERE channel = 'mail'").try_into().expect("one");
    assert_eq!(message_id, format!("<{message}@sweets.example>"), "the same on every try");
    assert!(letter["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&order))), "{letter}");
    all_are_delivered_at_try(&place, "2").await;
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
    let letter = relay.next();
    let done = shop.settled(&checkout).await;
    assert!(letter["parts"][0][1].as_str().is_some_and(|text| text.contains(id(&done["order"]))), "{letter}");
    all_are_delivered_at_try(&place, "1").await;
}

/// Without a relay nothing is written that nobody would send, and the operator is told.
async fn shop_without_a_relay_queues_no_email(place: Place) {
    stock(&place, ITEMS);
    let server = serve(&place, &[]).await;
    let _ = bought(&server, Some(TO)).await;
    assert_eq!(letters(&place), Vec::<[String; 3]>::new());
    let stopped = server.stop();
    let told = stopped.log.iter().find(|line| line["msg"].as_str().is_some_and(|msg| msg.contains("mail")));
    assert!(told.is_some(), "nobody was told: {:?}", stopped.log);
}

/// Letters that wait when mail is turned off wait in sight, and can be given up.
async fn pending_emails_without_a_relay_are_reported_and_can_be_dropped(place: Place) {
    let server = open(&place, 1, &[("TUCKSHOP_MAIL_TLS", "none")]).await;
    let _ = bought(&server, Some(TO)).await;
    let stopped = server.stop();
    let server = serve(&place, &[]).await;
    let said = "email messages wait, and no mail relay is configured";
    assert!(!stopped.log.iter().any(|line| line["msg"] == said));
    let warned = server.log().into_iter().find(|line| line["msg"] == said).expect("a warning");
    assert_eq!((&warned["pending"], &warned["level"]), (&json!(1), &json!("warning")));

    let fares = tuckshop_at(&place, &["deliveries", "destinations"], &[]).out;
    let line = fares.lines().find(|line| line.starts_with("mail ")).unwrap_or_else(|| panic!("{fares}"));
    for part in
        ["  mail  pending 1 (oldest ", "no mail relay, unless the server has one: TUCKSHOP_MAIL_HOST is not set here"]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    let dropped = tuckshop_at(&place, &["deliveries", "drop", "--destination", "mail"], &[]);
    assert_eq!((dropped.code, dropped.out.as_str()), (0, "1 given up."), "{}", dropped.err);
    let [state, _, error] = &letters(&place)[0];
    assert_eq!((state.as_str(), error.as_str()), ("dead", "given up by hand"));
}

/// What cannot work is refused at start, by name.
#[test]
fn unusable_mail_configuration_is_refused_at_start() {
    let far = ("TUCKSHOP_MAIL_HOST", "mail.example");
    let (open, login) = (("TUCKSHOP_MAIL_TLS", "none"), ("TUCKSHOP_MAIL_USERNAME", "shop"));
    let (secret, missing) = (("TUCKSHOP_MAIL_PASSWORD", "word"), ("TUCKSHOP_MAIL_CA_PATH", "/nowhere/roots.pem"));
    for (settings, told) in [
        (&[HOST][..], "TUCKSHOP_MAIL_FROM: is needed"),
        (&[HOST, FROM, login], "TUCKSHOP_MAIL_PASSWORD: "),
        (&[HOST, FROM, ("TUCKSHOP_MAIL_TLS", "plain")], "TUCKSHOP_MAIL_TLS: "),
        (&[HOST, FROM, ("TUCKSHOP_MAIL_PORT", "0")], "TUCKSHOP_MAIL_PORT: "),
        (&[far, FROM, open], "TUCKSHOP_MAIL_TLS: mail goes without TLS to "),
        (&[HOST, FROM, open, login, secret], "TUCKSHOP_MAIL_TLS: a password would go "),
        (&[HOST, ("TUCKSHOP_MAIL_FROM", "nobody")], "TUCKSHOP_MAIL_FROM: not a mail address"),
        (&[HOST, ("TUCKSHOP_MAIL_FROM", "ordérs@sweets.example")], "TUCKSHOP_MAIL_FROM: not a mail address"),
        (&[("TUCKSHOP_MAIL_HOST", "mail.example:587"), FROM], "TUCKSHOP_MAIL_HOST: not a host"),
        (&[HOST, FROM, missing], "TUCKSHOP_MAIL_CA_PATH: the file cannot be read: No such file"),
    ] {
        let finished = tuckshop(&["serve"], settings);
        assert_eq!(finished.code, 2, "{settings:?}: {}", finished.err);
        let mistakes: Vec<&str> = finished.err.lines().filter(|line| line.starts_with("TUCKSHOP_")).collect();
        assert_eq!(mistakes.len(), 1, "{settings:?}: {}", finished.err);
        assert!(mistakes[0].starts_with(told), "{settings:?}: {}", finished.err);
    }
}

crate::on_both_engines!(buyer_gets_one_confirmation_in_text_and_html_with_a_link);

mod on_a_file {
    use super::*;
    crate::on_sqlite!(
        email_waits_for_an_unreachable_relay,
        reconciled_order_is_confirmed_by_email,
        shop_without_a_relay_queues_no_email,
        pending_emails_without_a_relay_are_reported_and_can_be_dropped,
    );
}
