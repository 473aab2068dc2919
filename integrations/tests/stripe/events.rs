//! The shop verifies the signatures of the simulator's events and detects changes. Stripe's library accepts these
//! events too.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::payment::GatewayEvent;
use domain::secret::Secret;
use integrations::stripe::{SIGNATURE_TOLERANCE, SignatureError, parse_event, verify_signature};
use paysim::Webhooks;

use crate::fixture::Fixture;
use crate::shared::{Server, Visit};

struct Delivered {
    signature: String,
    payload: String,
}

/// Waits until there are `number` deliveries, and returns all deliveries.
async fn delivered(server: &Server, number: usize) -> Vec<Delivered> {
    while server.requests().len() < number {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = server.as_sent().into_iter().map(|request| {
        let (head, payload) = request.split_once("\r\n\r\n").expect("a whole request");
        let signature = head.lines().find_map(|line| line.strip_prefix("stripe-signature: ")).expect("a signature");
        Delivered { signature: signature.to_owned(), payload: payload.to_owned() }
    });
    requests.collect()
}

#[tokio::test]
async fn event_is_accepted_by_its_signature_and_identified_by_its_id() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "", "")).await;
    let fixture = Fixture::new();
    let secrets = vec!["whsec_new".to_owned(), "whsec_old".to_owned()];
    let webhooks = Webhooks { copies: 3, seed: 7, secrets, ..Webhooks::to(server.url(), "") };
    fixture.sim.send_webhooks(Some(webhooks));
    let opened = fixture.opened().await;
    fixture.confirm(&opened, "pm_card_visa").await.expect("an answer");
    // Each check knows one of the two valid secrets, like a receiver before or after a rotation.
    let now = Timestamp::from_unix_timestamp(fixture.sim.now()).expect("a time");
    let check = |delivered: &Delivered, payload: &str, secret: &str| {
        let secrets = [Secret::new("whsec_another"), Secret::new(secret)];
        verify_signature(payload.as_bytes(), &delivered.signature, &secrets, now, SIGNATURE_TOLERANCE)
    };
    let mut events = Vec::new();
    for delivered in delivered(&server, 1).await {
        let payload = &delivered.payload;
        assert_eq!(check(&delivered, payload, "whsec_new"), Ok(()));
        assert_eq!(check(&delivered, payload, "whsec_old"), Ok(()));
        assert_eq!(check(&delivered, payload, "whsec_of_another_shop"), Err(SignatureError::Mismatch));
        let tampered = payload.replace("3500", "1");
        assert_ne!(&tampered, payload);
        assert_eq!(check(&delivered, &tampered, "whsec_new"), Err(SignatureError::Mismatch));
        events.push(parse_event(payload.as_bytes()).expect("an event"));
    }
    for event in &events {
        // All copies of one event have the same id.
        assert_eq!(event, &GatewayEvent { id: events[0].id.clone(), reference: Some(opened.1.clone()) });
    }
}
