//! The operations listener.

use serde_json::{Value, json};

use crate::kit::client::Client;
use crate::kit::command::tuckshop;
use crate::kit::{PATIENCE, Place, Server, until};

const PRODUCTION: [(&str, &str); 5] = [
    ("TUCKSHOP_MODE", "production"),
    ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
    ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
    ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
    ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
];

/// A client of the operations listener.
fn operations_client(server: &Server, place: &Place) -> Client {
    let log = server.log();
    let line = log.iter().find(|line| line["msg"] == "listening for operations").expect("the operations listener");
    let address = line["operations_address"].as_str().expect("an address").parse().expect("an address");
    Client::new(address, place.record().clone())
}

async fn status_is_served_to_the_operator_alone(place: Place) {
    let address = ("TUCKSHOP_OPERATIONS_ADDRESS", "127.0.0.1:0");
    for mode in [&[][..], &PRODUCTION] {
        let server = Server::start(&place, &[mode, &[address]].concat()).await;
        let operator = operations_client(&server, &place);
        for path in ["/livez", "/readyz"] {
            assert_eq!(server.get(path).await.body(200), json!({"status": "ok"}), "load balancers need it");
            assert_eq!(operator.get(path).await.body(200), json!({"status": "ok"}));
        }
        server.get("/statusz").await.problem(404, "no_such_route");
        let status: Value = operator.get("/statusz").await.body(200);
        assert_eq!((&status["stopping"], &status["requests_in_flight"]), (&json!(false), &json!(1)));
        operator.get("/.well-known/ucp").await.problem(404, "no_such_route");
        operator.get("/checkout-sessions/x").await.problem(404, "no_such_route");
        assert_eq!(server.stop().status.code(), Some(0));
    }
}

async fn production_without_an_operations_listener_serves_no_status(place: Place) {
    for (mode, status) in [(&[][..], 200), (&PRODUCTION, 404)] {
        let server = Server::start(&place, mode).await;
        assert_eq!(server.get("/statusz").await.status, status);
        assert_eq!(server.get("/readyz").await.status, 200);
    }
}

/// The operations listener shows the progress of a shutdown after the shop's address is closed.
async fn operations_listener_answers_during_shutdown(place: Place) {
    let settings = [("TUCKSHOP_OPERATIONS_ADDRESS", "127.0.0.1:0"), ("TUCKSHOP_SHUTDOWN_LISTEN_MS", "60000")];
    let server = Server::start(&place, &settings).await;
    let operator = operations_client(&server, &place);
    server.terminate();
    until("the shop is no longer ready", || async {
        let ready = operator.get("/readyz").await;
        (ready.status == 503).then_some(())
    })
    .await;
    assert_eq!(operator.get("/statusz").await.body(200)["stopping"], true);
    // The first signal waits a minute. The second ends the process, with 1 if a pass of a task is running.
    server.terminate();
    assert!(matches!(server.wait(PATIENCE).status.code(), Some(0 | 1)));
}

#[test]
fn public_address_is_refused_in_development() {
    for (address, code) in [("0.0.0.0:8081", 2), ("nonsense", 2), ("127.0.0.1:8081", 0)] {
        let finished = tuckshop(&["config"], &[("TUCKSHOP_OPERATIONS_ADDRESS", address)]);
        assert_eq!(finished.code, code, "{address}: {}", finished.err);
    }
}

crate::on_sqlite!(
    status_is_served_to_the_operator_alone,
    production_without_an_operations_listener_serves_no_status,
    operations_listener_answers_during_shutdown,
);
