//! Forced races: two writers of one row, in a fixed order. The test plays the first writer on another connection. The
//! second writer, a port of the shop, must wait for the first, and then decide by its result.

use std::time::Duration;

use diesel::result::QueryResult;
use domain::context::{RequestContext, Stopwatch};
use persistence::Engine;

use super::raw::Raw;
use super::{Place, until};

/// Runs `second` after `first` has written, and commits `first` when the second waits for it.
pub async fn second<T>(place: &Place, ctx: &RequestContext, first: &str, second: impl Future<Output = T>) -> T {
    let (mut writer, mut observer) = (place.raw(), place.raw());
    let begin = if place.engine() == Engine::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let written: QueryResult<()> = writer.try_execute(&format!("{begin}; {first}"));
    written.unwrap_or_else(|error| panic!("{first}: {error}"));
    let committing = async {
        waits(&mut observer, ctx).await;
        writer.execute("COMMIT");
    };
    tokio::join!(second, committing).0
}

/// Waits until the request of `ctx` waits for a lock.
pub async fn waits(observer: &mut Raw, ctx: &RequestContext) {
    match observer {
        Raw::Postgres(_) => until("it waits", || observer.waiting() == 1).await,
        Raw::Sqlite(_) => wait_for_the_file(ctx).await,
    }
}

/// Waits until the second writer is likely to wait for the file. SQLite does not report waits, so the second writer
/// gets some time in which it could make a mistake.
async fn wait_for_the_file(ctx: &RequestContext) {
    until("it has a connection", || ctx.timings().connection_wait.microseconds() > 0).await;
    let watch = Stopwatch::start();
    until("a moment has passed", || watch.elapsed() > Duration::from_millis(50)).await;
}

/// Locks a row for the first writer, on an engine that has row locks.
pub fn locking(place: &Place, select: &str) -> String {
    match place.engine() {
        Engine::Sqlite => String::new(),
        Engine::Postgres => format!("{select} FOR UPDATE; "),
    }
}
