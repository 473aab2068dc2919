//! The clock of the process.

use std::time::Duration;

use domain::PortFuture;
use domain::clock::{Clock, Timestamp};
use domain::context::RequestContext;
use domain::fault::{Fault, FaultKind};

/// The system's clock, in whole milliseconds.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now_utc();
        now.replace_millisecond(now.millisecond()).unwrap_or(now)
    }

    fn pause(&self, ctx: &RequestContext, duration: Duration) -> PortFuture<(), Fault> {
        let ctx = ctx.clone();
        Box::pin(async move {
            ctx.check("clock.pause")?;
            let until = ctx.at_most(duration).deadline();
            tokio::select! {
                () = tokio::time::sleep_until(until.instant().into()) => ctx.check("clock.pause"),
                () = ctx.cancellation().cancelled() => Err(Fault::new(FaultKind::Cancelled, "clock.pause")),
            }
        })
    }
}
