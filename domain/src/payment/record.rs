//! Retries the writes that record effects outside the database. Money may have moved, so a write is repeated while its
//! fault is transient.

use std::time::Duration;

use slog::warn;

use crate::PortFuture;
use crate::clock::{Clock, backoff};
use crate::context::RequestContext;
use crate::fault::Fault;

/// The first pause between two runs of a write. Each further pause is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Runs `write` until it succeeds. Returns the last fault if the fault is not transient, or if the context has no time
/// for another attempt.
///
/// `write` is one idempotent storage transaction. So if the outcome of a commit is unknown, the next run resolves it,
/// however long the database was unavailable.
pub(crate) async fn until_recorded<T>(
    ctx: &RequestContext,
    clock: &dyn Clock,
    write: impl Fn() -> PortFuture<T, Fault>,
) -> Result<T, Fault> {
    let mut retries = 0;
    loop {
        let fault = match write().await {
            Ok(written) => return Ok(written),
            Err(fault) => fault,
        };
        let pause = backoff(FIRST_PAUSE, LONGEST_PAUSE, retries);
        if !fault.kind().is_transient() || ctx.deadline().remaining() <= pause {
            return Err(fault);
        }
        if retries == 0 {
            warn!(ctx.log(), "write is retried until it is recorded"; "op" => fault.operation(),
                "error_code" => fault.kind().into_str(), "error" => fault.chain());
        }
        if clock.pause(ctx, pause).await.is_err() {
            return Err(fault);
        }
        retries += 1;
    }
}
