//! Tests of `commands.rs`.

use domain::context::{Deadline, TraceContext};
use slog::{Logger, o};
use tokio_util::sync::CancellationToken;

use super::*;

fn context() -> RequestContext {
    let log = Logger::root(slog::Discard, o!());
    let deadline = Deadline::after(Duration::from_secs(5));
    RequestContext::for_task(&log, "test", TraceContext::start(), deadline, CancellationToken::new())
}

#[test]
fn command_of_a_dropped_caller_runs_to_its_end_on_the_runtime_of_the_process() {
    let process =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let commands = Commands::new(process.handle().clone(), 1);
    let (go, wait) = tokio::sync::oneshot::channel();
    let (done, outcome) = tokio::sync::oneshot::channel();
    let work = |_| async {
        // The timer would panic if it belonged to the runtime of the handler, which ends first.
        let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
        done.send(waited.is_ok_and(|went| went.is_ok())).expect("the test waits");
    };
    let handler = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ctx = context();
    handler.block_on(async {
        tokio::select! {
            biased;
            _ = commands.run(&ctx, "test.wait", work) => panic!("the command ended"),
            () = std::future::ready(()) => {}
        }
    });
    drop(handler);
    assert_eq!(commands.in_flight(), 1);
    go.send(()).expect("the command waits");
    assert_eq!(process.block_on(outcome), Ok(true));
    assert_eq!(process.block_on(commands.drain(Duration::from_secs(5))), Vec::<String>::new());
}

#[tokio::test]
async fn command_has_an_unknown_outcome_if_the_process_ends_first() {
    let commands = Commands::new(Handle::current(), 1);
    let ctx = context();
    let mut run = Box::pin(commands.run(&ctx, "test.wait", |_| std::future::pending::<()>()));
    tokio::select! {
        biased;
        _ = &mut run => panic!("the command ended"),
        () = std::future::ready(()) => commands.end(),
    }
    assert_eq!(run.await.map_err(|fault| fault.kind()), Err(FaultKind::OutcomeUnknown));
    assert_eq!(commands.in_flight(), 0);
}

#[tokio::test]
async fn command_that_panics_has_an_unknown_outcome_and_releases_its_permit() {
    let commands = Commands::new(Handle::current(), 1);
    let ctx = context();
    for _ in 0..3 {
        let broken = commands.run(&ctx, "test.panic", |_| async { panic!("on purpose") }).await;
        let broken: Result<(), Fault> = broken;
        let fault = broken.expect_err("a panic");
        assert_eq!(fault.kind(), FaultKind::OutcomeUnknown);
        assert!(fault.chain().contains("the command panicked: on purpose"), "{}", fault.chain());
    }
    assert_eq!(commands.run(&ctx, "test.run", |_| async { 7 }).await.ok(), Some(7));
    assert_eq!(commands.drain(Duration::from_secs(5)).await, Vec::<String>::new());
    assert_eq!((commands.in_flight(), commands.names()), (0, Vec::new()));
}
