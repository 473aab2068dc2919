//! The deadlines of one connection, on one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use domain::context::Deadline;
use tokio::time::{Instant, Sleep};

/// The instant that is `time` from now.
pub fn after(time: Duration) -> Instant {
    Deadline::after(time).instant().into()
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Read,
    Write,
    Again,
}

pub struct Deadlines {
    /// The time at which the present phase must have ended.
    pub read: Option<Instant>,
    /// The time at which the peer must have read more of the response.
    pub write: Option<Instant>,
    /// The time at which the guard checks again whether the shared budget has room for the next piece of a body.
    pub again: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadlines {
    pub fn read_by(at: Instant) -> Self {
        Self { read: Some(at), write: None, again: None, sleep: None }
    }

    /// Returns the earliest deadline that has passed, and clears it. If none has passed, returns `Pending` and wakes
    /// the task at the next deadline.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let all = [(self.write, Due::Write), (self.again, Due::Again), (self.read, Due::Read)];
            let set = all.into_iter().filter_map(|(at, due)| at.map(|at| (at, due)));
            let Some((next, due)) = set.min_by_key(|(at, _)| *at) else { return Poll::Pending };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            // The timer is moved to an earlier time only, because moving it with every request costs more than a wake
            // that is too early.
            if sleep.deadline() > next {
                sleep.as_mut().reset(next);
            }
            ready!(sleep.as_mut().poll(cx));
            if next > sleep.deadline() {
                sleep.as_mut().reset(next);
                continue;
            }
            match due {
                Due::Read => self.read = None,
                Due::Write => self.write = None,
                Due::Again => self.again = None,
            }
            return Poll::Ready(due);
        }
    }
}

#[cfg(test)]
#[path = "deadlines_tests.rs"]
mod tests;
