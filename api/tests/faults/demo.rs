//! The demo's answer to its webhook is written slowly. The demo ends only after the write.

use std::process::Command;

use crate::kit::command::tuckshop_at;
use crate::kit::process::{Process, TUCKSHOP};
use crate::kit::{PATIENCE, Place, until};
use crate::recording::strace;

/// Delays each write to a socket by this many microseconds. A process that does not wait for the write ends long
/// before.
const WRITES_LATE: &str = "inject=sendto:delay_enter=200000";

async fn demo_ends_after_its_answer_to_the_webhook_is_written(place: Place) {
    let Some(strace) = strace("an answer of the demo that is written late") else { return };
    let server = place.serve().await;
    let url = server.url();
    let mut demo = Process::start(
        Command::new(&strace)
            .args(["-f", "-q", "-o", "/dev/null", "-e", "trace=sendto", "-e", WRITES_LATE, TUCKSHOP])
            .args(["demo", "--url", &url, "--item", "gift_card"])
            .env_clear(),
    );
    let status = demo.wait(PATIENCE);
    assert!(status.success(), "{}", demo.output());
    until("no message is pending", async || {
        let waiting = tuckshop_at(&place, &["deliveries", "list", "--state", "pending"], &[]);
        (waiting.out == "0 shown.").then_some(())
    })
    .await;
    let delivered = tuckshop_at(&place, &["deliveries", "list", "--state", "delivered"], &[]);
    assert!(delivered.out.lines().any(|line| line.ends_with("attempts 1")), "{}", delivered.out);
}

crate::on_sqlite!(demo_ends_after_its_answer_to_the_webhook_is_written);
