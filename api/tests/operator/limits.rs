//! Resource limits. The limit of open files is raised at start, a low limit is a warning, and reaching it is logged.
//! Exceeding the limit of file sizes does not end the shop.

use crate::kit::basket::deliverable;
use crate::kit::raw::Raw;
use crate::kit::{Place, Server, until};

/// Starts a server with these soft and hard limits of open files.
fn serve_with_limits(place: &Place, soft: u32, hard: u32) -> Server {
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\"");
    let settings = [("TUCKSHOP_HTTP_MAX_CONNECTIONS", "1000"), ("TUCKSHOP_HTTP_WORKERS", "1")];
    Server::launch_under(&["/bin/sh", "-c", &script, "sh"], place, &settings)
}

async fn soft_limit_is_raised_and_a_low_hard_limit_is_a_warning(place: Place) {
    for (soft, hard, warned) in [(256, 4_096, false), (256, 300, true)] {
        let server = serve_with_limits(&place, soft, hard);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process_id())).expect("the server runs");
        let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
        assert_eq!(numbers, [hard.to_string(), hard.to_string()], "{files}");
        let warnings = server.stop().log;
        let warning = warnings.iter().find(|line| line["op"] == "limits.open_files" && line["level"] == "warning");
        assert_eq!(warning.is_some(), warned, "{warning:?}");
    }
}

/// The error of the HTTP library reaches the log.
async fn connections_that_cannot_be_accepted_are_logged(place: Place) {
    let server = serve_with_limits(&place, 128, 128);
    let mut held = Vec::new();
    for _ in 0..150 {
        held.push(Raw::connect(server.address()).await);
    }
    until("the failed accept is logged", || async {
        let log = server.log();
        log.into_iter().find(|line| line["op"] == "library" && line["level"] == "error")
    })
    .await;
    drop(held);
    until("the shop serves again", || async {
        server.get("/livez").try_send().await.ok().filter(|answer| answer.status == 200)
    })
    .await;
}

/// A write beyond the limit fails. The signal that the kernel sends with it does not end the process.
async fn write_beyond_the_file_size_limit_is_refused_and_the_shop_goes_on(place: Place) {
    const REFUSED: [&str; 3] = ["storage_full", "unavailable", "outcome_unknown"];
    let server = Server::launch_under(&["prlimit", "--fsize=1000000"], &place, &[]);
    let attribution: serde_json::Map<_, _> = (0..50).map(|n| (n.to_string(), "x".repeat(500).into())).collect();
    let mut body = deliverable(&[("eraser", 1)]);
    body["attribution"] = attribution.into();
    let mut refused = None;
    for _ in 0..200 {
        let answer = server.post("/checkout-sessions", &body).await;
        if answer.status != 201 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a database of a bounded size reaches the limit");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(REFUSED.iter().any(|code| refused.json["code"] == *code), "{}", refused.text());
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.post("/checkout-sessions", &body).await.status, 503);
    assert_eq!(server.stop().status.code(), Some(0));
}

crate::on_sqlite!(
    write_beyond_the_file_size_limit_is_refused_and_the_shop_goes_on,
    soft_limit_is_raised_and_a_low_hard_limit_is_a_warning,
    connections_that_cannot_be_accepted_are_logged,
);
