//! The fields that a context adds to each log line.

use std::time::Duration;

use domain::context::{Caller, Deadline, RequestContext, RequestId, TraceContext};
use slog::{Logger, info, o};
use tokio_util::sync::CancellationToken;

use crate::kit::{Lines, task_context};

#[test]
fn line_of_a_pass_names_the_task_and_the_trace_but_no_request() {
    let lines = Lines::default();
    let ctx = task_context(&lines, Duration::from_secs(60));
    info!(ctx.log(), "tested");
    let line = &lines.all()[0];
    assert_eq!((line.field("task"), line.field("request_id")), ("test.task", ""));
    assert_eq!(line.field("trace_id"), ctx.trace().trace_id_hex());
}

#[test]
fn line_of_a_request_names_the_request_and_the_trace_but_no_task() {
    let lines = Lines::default();
    let (log, id, trace) = (Logger::root(lines.clone(), o!()), RequestId::generate(), TraceContext::start());
    let deadline = Deadline::after(Duration::from_secs(60));
    let caller = Caller::Task("unused");
    let ctx = RequestContext::new(&log, id.clone(), trace, caller, deadline, CancellationToken::new());
    info!(ctx.log(), "tested");
    let line = &lines.all()[0];
    assert_eq!((line.field("task"), line.field("request_id")), ("", id.as_str()));
    assert_eq!(line.field("trace_id"), trace.trace_id_hex());
}
