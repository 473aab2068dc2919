//! Tests of `commands.rs`.

use domain::context::{Deadline, TraceContext};
use slog::{Logger, o};
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn command_that_panics_has_an_unknown_outcome_and_releases_its_permit() {
    let commands = Commands::new(Handle::current(), 1);
    let log = Logger::root(slog::Discard, o!());
    let deadline = Deadline::after(Duration::from_secs(5));
    let ctx = RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new());
    for _ in 0..3 {
        let broken = commands.run(&ctx, "test.panic", |_| async { panic!("on purpose") }).await;
        let broken: Result<(), Fault> = broken;
        assert_eq!(broken.map_err(|fault| fault.kind()), Err(FaultKind::OutcomeUnknown));
    }
    assert_eq!(commands.run(&ctx, "test.run", |_| async { 7 }).await.ok(), Some(7));
    assert_eq!(commands.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    assert_eq!((commands.in_flight(), commands.names()), (0, Vec::new()));
}
