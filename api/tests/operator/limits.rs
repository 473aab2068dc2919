//! The limit of open files: raised at start, told when it is too low, and a shop that has reached it says so.

use crate::kit::raw::Raw;
use crate::kit::{Place, Server, until};

/// Starts it with these soft and hard limits of open files.
fn limited(place: &Place, soft: u32, hard: u32) -> Server {
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\"");
    let settings = [("TUCKSHOP_HTTP_MAX_CONNECTIONS", "1000"), ("TUCKSHOP_HTTP_WORKERS", "1")];
    Server::launch_by(&["/bin/sh", "-c", &script, "sh"], place, &settings)
}

async fn soft_limit_is_raised_and_one_that_is_too_low_is_a_warning(place: Place) {
    for (soft, hard, warned) in [(256, 4_096, false), (256, 300, true)] {
        let server = limited(&place, soft, hard);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process_id())).expect("it lives");
        let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
        assert_eq!(numbers, [hard.to_string(), hard.to_string()], "{files}");
        let warnings = server.stop().log;
        let warning = warnings.iter().find(|line| line["op"] == "limits.open_files" && line["level"] == "warning");
        assert_eq!(warning.is_some(), warned, "{warning:?}");
    }
}

/// What the HTTP library says of it reaches the log.
async fn connections_that_cannot_be_accepted_are_logged(place: Place) {
    let server = limited(&place, 128, 128);
    let mut held = Vec::new();
    for _ in 0..150 {
        held.push(Raw::connect(server.address()).await);
    }
    until("it is logged", || async {
        let log = server.log();
        log.into_iter().find(|line| line["op"] == "library" && line["level"] == "error")
    })
    .await;
    drop(held);
    until("it serves again", || async {
        server.get("/livez").try_send().await.ok().filter(|answer| answer.status == 200)
    })
    .await;
}

crate::on_sqlite!(
    soft_limit_is_raised_and_one_that_is_too_low_is_a_warning,
    connections_that_cannot_be_accepted_are_logged,
);
