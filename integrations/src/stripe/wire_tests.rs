//! Tests of `wire.rs`.

use super::*;

fn state(body: &str) -> Option<GatewayState> {
    serde_json::from_str::<Intent>(body).expect("an intent").state()
}

#[test]
fn each_status_has_one_state() {
    for (status, expected) in [
        ("requires_payment_method", Some(GatewayState::Opened)),
        ("requires_confirmation", Some(GatewayState::Opened)),
        ("requires_action", Some(GatewayState::ActionRequired)),
        ("requires_capture", Some(GatewayState::Authorized)),
        ("succeeded", Some(GatewayState::Confirmed)),
        ("canceled", Some(GatewayState::Cancelled)),
        ("processing", None),
        ("invented_later", None),
    ] {
        let body = format!(r#"{{"id": "pi_1", "status": "{status}", "last_payment_error": null, "new": 1}}"#);
        assert_eq!(state(&body), expected, "{status}");
    }
    let declined = r#"{"id": "pi_1", "status": "requires_payment_method",
        "last_payment_error": {"type": "card_error", "code": "card_declined", "message": "No."}}"#;
    let detail = "type card_error, code card_declined".to_owned();
    assert_eq!(state(declined), Some(GatewayState::Declined(Decline { reason: "No.".to_owned(), detail })));
}

#[test]
fn refund_is_found_by_its_id_among_refunds_without_metadata() {
    let page = r#"{"has_more": false, "data": [
        {"id": "re_1", "metadata": null}, {"id": "re_2"}, {"id": "re_3", "metadata": {}},
        {"id": "re_4", "metadata": {"refund_id": null}}, {"id": "re_5", "metadata": {"refund_id": "ours"}}]}"#;
    let page: Page<RefundObject> = serde_json::from_str(page).expect("a page");
    let found: Vec<_> = page.data.iter().filter(|refund| refund.is("ours")).map(|refund| refund.id.as_str()).collect();
    assert_eq!(found, ["re_5"]);
}

#[test]
fn text_for_the_buyer_is_short_and_never_a_code() {
    let refusal = |message: Option<&str>| Refusal {
        kind: Some("card_error".to_owned()),
        code: Some("card_declined".to_owned()),
        decline_code: None,
        message: message.map(str::to_owned),
        param: None,
        payment_intent: None,
    };
    assert_eq!(refusal(None).for_the_buyer(), "The payment was declined.");
    assert_eq!(refusal(Some("\r\n")).for_the_buyer(), "The payment was declined.");
    assert_eq!(refusal(Some("Your card\nwas declined.")).for_the_buyer(), "Your cardwas declined.");
    assert_eq!(refusal(Some(&"é".repeat(500))).for_the_buyer().chars().count(), MAX_MESSAGE);
}

#[test]
fn text_for_the_log_has_codes_and_no_free_text() {
    for (body, expected) in [
        ("{}", "no reason"),
        (
            r#"{"type": "card_error", "code": "card_declined", "decline_code": "stolen_card", "message": "No."}"#,
            "type card_error, code card_declined, decline_code stolen_card",
        ),
        (
            r#"{"type": "invalid_request_error", "code": "resource_missing", "param": "payment_method",
                "message": "No such PaymentMethod: 'pm_of_somebody'; a similar object exists in test mode."}"#,
            "type invalid_request_error, code resource_missing, param payment_method",
        ),
        (r#"{"message": "Card 4242424242424242 of ann@buyers.example."}"#, "no reason"),
        (r#"{"param": "metadata[order_1]"}"#, "param metadata[order_1]"),
        (r#"{"code": "Card of ann@buyers.example", "param": ""}"#, "code (not a word), param (not a word)"),
    ] {
        let refusal: Refusal = serde_json::from_str(body).expect("a refusal");
        assert_eq!(refusal.for_the_log(), expected, "{body}");
    }
    let long = Refusal { code: Some("x".repeat(MAX_WORD + 1)), ..serde_json::from_str("{}").expect("empty") };
    assert_eq!(long.for_the_log(), "code (not a word)");
}
