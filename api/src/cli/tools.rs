//! The session of an operator's command: the tools, and a context with a deadline.

use std::future::Future;
use std::time::Duration;

use domain::context::{Deadline, RequestContext, TraceContext};
use domain::fault::Fault;
use slog::Logger;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::app::{StartError, Tools};
use crate::config::Config;

/// The longest a command may take. A command runs a few short transactions.
const TIME: Duration = Duration::from_secs(60);

pub(super) struct Session<'r> {
    pub tools: Tools,
    pub ctx: RequestContext,
    runtime: &'r Runtime,
}

impl<'r> Session<'r> {
    /// Opens the tools. `name` is the name of the command in logs.
    pub(super) fn open(
        config: &Config,
        log: &Logger,
        runtime: &'r Runtime,
        name: &'static str,
    ) -> Result<Self, StartError> {
        let tools = Tools::open(config, log, runtime.handle())?;
        let deadline = Deadline::after(TIME);
        let ctx = RequestContext::for_task(log, name, TraceContext::start(), deadline, CancellationToken::new());
        Ok(Self { tools, ctx, runtime })
    }

    /// Runs one call of the tools to its end. The error is the fault with its causes.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, String> {
        self.runtime.block_on(work).map_err(|fault| fault.chain())
    }
}
