//! Recording what happened outside: once money may have moved, a fault that passes is waited out.

use std::time::Duration;

use slog::warn;

use crate::PortFuture;
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::fault::Fault;

/// Pauses between two tries: each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Writes until it is written, while the fault is of a kind that passes and the context has time for another try.
///
/// `write` is one storage transaction that may be run more than once: what it did before, it finds. So an unknown commit
/// is resolved by the next run, however long the database was away.
pub(crate) async fn until_recorded<T>(
    ctx: &RequestContext,
    clock: &dyn Clock,
    write: impl Fn() -> PortFuture<T, Fault>,
) -> Result<T, Fault> {
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match write().await {
            Ok(written) => return Ok(written),
            Err(fault) => fault,
        };
        if !fault.kind().is_passing() || ctx.deadline().remaining() <= pause {
            return Err(fault);
        }
        if pause == FIRST_PAUSE {
            warn!(ctx.log(), "write is tried again until it is recorded"; "op" => fault.operation(),
                "error_code" => fault.kind().as_str(), "error" => fault.chain());
        }
        if clock.pause(ctx, pause).await.is_err() {
            return Err(fault);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
