//! The commits under way, and their age.
//!
//! A commit has no time limit: on Postgres it waits until a synchronous standby answers. The caller gets `OutcomeUnknown`
//! when the commit grace has passed, although the commit may still take effect. If the oldest commit under way has a high
//! age, an operator sees that writes are not acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::context::Stopwatch;
use slog::{Logger, info, o, warn};

/// The age at which a commit counts as stalled. A slow disk alone does not take that long.
const LONG: Duration = Duration::from_secs(2);

pub(super) struct Commits {
    log: Logger,
    under_way: Mutex<(u64, BTreeMap<u64, Stopwatch>)>,
    stalled: AtomicBool,
}

/// Marks a commit as under way until the mark is dropped.
pub(super) struct Committing<'c> {
    commits: &'c Commits,
    number: u64,
}

impl Commits {
    pub(super) fn new(log: &Logger) -> Self {
        let log = log.new(o!("op" => "database.commit"));
        Self { log, under_way: Mutex::default(), stalled: AtomicBool::new(false) }
    }

    pub(super) fn begin(&self) -> Committing<'_> {
        // A commit that hangs cannot report itself, so each later commit checks for it.
        self.stalled();
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0 += 1;
        let number = under_way.0;
        under_way.1.insert(number, Stopwatch::start());
        Committing { commits: self, number }
    }

    /// The age of the oldest commit under way.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.1.values().next().map(|since| since.elapsed())
    }

    /// Whether a commit has been under way for [`LONG`] or longer. Logs the begin and the end of that state once each.
    pub(super) fn stalled(&self) -> bool {
        let oldest = self.oldest();
        let long = oldest.is_some_and(|age| age >= LONG);
        match (self.stalled.swap(long, Ordering::AcqRel), oldest) {
            (false, Some(age)) if long => {
                warn!(self.log, "a commit takes long: writes are not acknowledged";
                    "oldest_ms" => u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            }
            (true, _) if !long => info!(self.log, "commits are in time again"),
            _ => {}
        }
        long
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut under_way = self.commits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.1.remove(&self.number);
    }
}
