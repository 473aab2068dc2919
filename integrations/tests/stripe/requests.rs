//! Which requests the adapter sends to the gateway, and what it refuses without sending a request.

use domain::fault::{Failure, FaultKind};
use domain::money::Currency;
use domain::payment::{PaymentGateway, PaymentReference};
use domain::secret::Secret;
use integrations::stripe::{CaptureMethod, HttpPaymentGateway, StripeConfig, StripeConfigError};

use crate::fixture::{CALL, attempt_in, card, config, outbound, refund};
use crate::shared::{Lines, Server, Visit, ctx_with};

fn gateway(config: StripeConfig) -> Result<HttpPaymentGateway, StripeConfigError> {
    HttpPaymentGateway::new(outbound(), config)
}

/// Returns the request line, the headers of the adapter, and the body.
fn essence(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
    let (line, headers) = head.split_once("\r\n").expect("headers");
    let ours = ["authorization", "content-type", "idempotency-key", "stripe-version"];
    let mut kept: Vec<_> =
        headers.lines().filter(|header| ours.iter().any(|name| header.starts_with(&format!("{name}:")))).collect();
    kept.sort_unstable();
    format!("{line}\n{}\n\n{}", kept.join("\n"), body.replace('&', "\n"))
}

#[tokio::test]
async fn each_call_is_one_request_in_stripes_format() {
    let server = Server::start(|visit: Visit| {
        visit.answer("200 OK", "", r#"{"id": "pi_1", "status": "succeeded", "data": [], "has_more": false}"#)
    })
    .await;
    let config =
        StripeConfig { capture: CaptureMethod::Manual, ..config(format!("http://{}/gateway/", server.address)) };
    let gateway = gateway(config).expect("configured");
    let (lines, attempt) = (Lines::default(), attempt_in(Currency::parse("JPY").expect("a currency")));
    let ctx = || ctx_with(&lines, CALL);
    let reference = PaymentReference("pi_1/../../x?y".to_owned());
    let opened = (attempt.clone(), reference.clone());
    let refund = refund(&opened, 700, 2);
    gateway.open(&ctx(), &attempt).await.expect("an answer");
    gateway.confirm(&ctx(), &attempt, &reference, &card("pm_1&amount=1")).await.expect("an answer");
    gateway.look_up(&ctx(), &reference).await.expect("an answer");
    gateway.capture(&ctx(), &attempt, &reference).await.expect("an answer");
    gateway.cancel(&ctx(), &reference).await.expect("an answer");
    gateway.refund(&ctx(), &refund).await.expect("an answer");

    let (id, checkout, refund_id) = (&attempt.id, &attempt.checkout, &refund.id);
    let authorization = "authorization: Bearer sk_test_paysim";
    let version = "stripe-version: 2026-10-28.endive";
    let form = "content-type: application/x-www-form-urlencoded";
    let intent = "/gateway/v1/payment_intents/pi_1%2F..%2F..%2Fx%3Fy";
    let expected = [
        format!(
            "POST /gateway/v1/payment_intents HTTP/1.1\n{authorization}\n{form}\nidempotency-key: {id}-open\n{version}\n\n\
             amount=3500\ncurrency=jpy\ncapture_method=manual\npayment_method_types%5B%5D=card\n\
             metadata%5Battempt_id%5D={id}\nmetadata%5Bcheckout_id%5D={checkout}"
        ),
        format!(
            "POST {intent}/confirm HTTP/1.1\n{authorization}\n{form}\nidempotency-key: {id}-confirm\n{version}\n\n\
             payment_method=pm_1%26amount%3D1"
        ),
        format!("GET {intent} HTTP/1.1\n{authorization}\n{version}\n\n"),
        format!("POST {intent}/capture HTTP/1.1\n{authorization}\n{form}\n{version}\n\namount_to_capture=3500"),
        format!("POST {intent}/cancel HTTP/1.1\n{authorization}\n{form}\n{version}\n\ncancellation_reason=abandoned"),
        format!(
            "GET /gateway/v1/refunds?payment_intent=pi_1%2F..%2F..%2Fx%3Fy&limit=100 HTTP/1.1\n{authorization}\n{version}\n\n"
        ),
        format!(
            "POST /gateway/v1/refunds HTTP/1.1\n{authorization}\n{form}\nidempotency-key: {refund_id}\n{version}\n\n\
             payment_intent=pi_1%2F..%2F..%2Fx%3Fy\namount=700\nmetadata%5Brefund_id%5D={refund_id}\n\
             metadata%5Battempt_id%5D={id}"
        ),
    ];
    let sent: Vec<_> = server.as_sent().iter().map(|request| essence(request)).collect();
    for (sent, expected) in sent.iter().zip(&expected) {
        assert_eq!(sent, expected);
    }
    assert_eq!(sent.len(), expected.len());
}

#[test]
fn wrong_configuration_is_refused() {
    let base = || config("https://api.stripe.com".to_owned());
    assert!(gateway(base()).is_ok());
    for url in ["http://api.stripe.com", "api.stripe.com", "https://key@api.stripe.com"] {
        assert!(matches!(gateway(config(url.to_owned())), Err(StripeConfigError::Address(_))), "{url}");
    }
    for key in ["", "sk test", "sk\ntest", "sk_tést"] {
        let config = StripeConfig { secret_key: Secret::new(key), ..base() };
        assert!(matches!(gateway(config), Err(StripeConfigError::Header)), "{key:?}");
    }
    let kuwait = vec![Currency::USD, Currency::parse("KWD").expect("a currency")];
    let refused = gateway(StripeConfig { currencies: kuwait, ..base() });
    assert!(matches!(refused, Err(StripeConfigError::Currency(_))));
}

#[tokio::test]
async fn currency_with_other_minor_units_is_not_sent() {
    let server = Server::start(|visit: Visit| visit.answer("200 OK", "", "{}")).await;
    let gateway = gateway(config(format!("http://{}", server.address))).expect("configured");
    let attempt = attempt_in(Currency::parse("ISK").expect("a currency"));
    let failed = gateway.open(&ctx_with(&Lines::default(), CALL), &attempt).await.expect_err("refused");
    assert!(matches!(failed, Failure::Fault(fault) if fault.kind() == FaultKind::Internal));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn handler_is_the_configured_one_and_stores_no_instruments() {
    let gateway = gateway(config("https://api.stripe.com".to_owned())).expect("configured");
    assert_eq!(gateway.handler(), config(String::new()).handler);
    let instrument = domain::payment::Instrument {
        id: "instr_1".to_owned(),
        handler: gateway.handler().id,
        kind: "card".to_owned(),
        selected: true,
        display: None,
    };
    let choice = domain::payment::PaymentChoice { instrument, credential: None };
    let on_file = gateway.on_file(&ctx_with(&Lines::default(), CALL), &choice).await;
    assert_eq!(on_file.expect("an answer"), None);
}
