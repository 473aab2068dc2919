//! Tests of `webhook.rs`.

use serde_json::json;

use super::*;

#[test]
fn event_is_an_object_with_an_id_of_visible_ascii() {
    let id = |id: &str| json!({"id": id, "type": "x"});
    for (event, expected) in [
        (id("evt_1"), Some("evt_1")),
        (id(&"e".repeat(255)), Some(&*"e".repeat(255))),
        (id(&"e".repeat(256)), None),
        (id(""), None),
        (id("evt\0"), None),
        (id("evt 1"), None),
        (id("evt_é"), None),
        (json!({"id": 1, "type": "x"}), None),
        (json!({"id": "evt_1"}), None),
        (json!({"id": "evt_1", "type": null}), None),
        (json!({"type": "x"}), None),
        (json!(["evt_1", "x", {}]), None),
        (json!("evt_1"), None),
    ] {
        let read = parse_event(event.to_string().as_bytes()).map(|event| event.id);
        assert_eq!(read.as_deref(), expected, "{event}");
    }
    assert_eq!(parse_event(b"{"), None);
}

#[test]
fn event_names_a_payment_only_by_an_id_of_visible_ascii() {
    for (object, expected) in [
        (json!({"object": "payment_intent", "id": "pi_1"}), Some("pi_1")),
        (json!({"object": "charge", "payment_intent": "pi_1"}), Some("pi_1")),
        (json!({"object": "refund", "payment_intent": {"id": "pi_1"}}), Some("pi_1")),
        (json!({"object": "payment_intent", "id": "pi_\0"}), None),
        (json!({"object": "payment_intent", "id": ""}), None),
        (json!({"object": "charge", "payment_intent": "p".repeat(256)}), None),
        (json!({"object": "customer", "id": "cus_1"}), None),
        (json!(null), None),
    ] {
        let event = json!({"id": "evt_1", "type": "x", "data": {"object": object}});
        let read = parse_event(event.to_string().as_bytes()).expect("an event");
        assert_eq!(read.reference.map(|reference| reference.0).as_deref(), expected, "{event}");
    }
    for event in [json!({"id": "evt_1", "type": "x"}), json!({"id": "evt_1", "type": "x", "data": [1]})] {
        let read = parse_event(event.to_string().as_bytes());
        assert_eq!(read, Some(GatewayEvent { id: "evt_1".to_owned(), reference: None }), "{event}");
    }
}
