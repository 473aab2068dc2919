//! Tests of `server.rs`.

use std::cell::Cell;

use super::*;
use crate::log::Kept;

type Ended = std::io::Result<()>;

/// The shortest possible shutdown steps. They begin at a signal or when a listener ends, wait until the shop's listener
/// has stopped, and need one more turn of the runtime.
async fn steps(
    shutdown: &Shutdown,
    signal: bool,
    listener_ended: &CancellationToken,
    [stopped, done]: [&Cell<bool>; 2],
) -> Vec<String> {
    if !signal {
        listener_ended.cancelled().await;
    }
    shutdown.begin();
    until(|| stopped.get()).await;
    tokio::task::yield_now().await;
    done.set(true);
    vec!["a command".to_owned()]
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Runs `oversee` and returns its result and the number of log lines. A listener that is `None` runs until it is
/// stopped.
async fn overseen(
    signal: bool,
    shop: Option<Ended>,
    operations: Option<Ended>,
) -> (Result<Vec<String>, String>, usize) {
    let (log, shutdown, listener_ended) = (Kept::default(), Shutdown::default(), CancellationToken::new());
    let (stopped, done) = (Cell::new(false), Cell::new(false));
    let shop = async {
        match shop {
            Some(ended) => {
                // If both listeners end, the operator's ends first.
                tokio::task::yield_now().await;
                stopped.set(true);
                return ended;
            }
            None => until(|| shutdown.has_begun()).await,
        }
        stopped.set(true);
        Ok(())
    };
    let operations = async {
        match operations {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    };
    let steps = steps(&shutdown, signal, &listener_ended, [&stopped, &done]);
    let left = oversee(shop, operations, steps, &shutdown, &listener_ended, &log.logger()).await;
    assert!(done.get(), "all shutdown steps ran");
    let lines = log.lines();
    assert!(lines.iter().all(|line| line["op"] == "http.serve" && line["level"] == "error"), "{lines:?}");
    (left.map_err(|error| error.to_string()), lines.len())
}

fn broken() -> Option<Ended> {
    Some(Err(std::io::Error::other("no more workers")))
}

#[tokio::test]
async fn listener_that_ends_by_itself_begins_the_shutdown_and_is_an_error() {
    let ended = |listener: &str| Err(format!("the listener `{listener}` ended by itself"));
    let error = || Err("no more workers".to_owned());
    assert_eq!(overseen(false, Some(Ok(())), None).await, (ended("shop"), 1));
    assert_eq!(overseen(false, broken(), None).await, (error(), 1));
    assert_eq!(overseen(false, None, Some(Ok(()))).await, (ended("operations"), 1));
    assert_eq!(overseen(false, None, broken()).await, (error(), 1));
    assert_eq!(overseen(false, broken(), Some(Ok(()))).await.1, 2);
}

#[tokio::test]
async fn listener_that_breaks_during_the_shutdown_is_an_error_after_all_steps() {
    assert_eq!(overseen(true, broken(), None).await, (Err("no more workers".to_owned()), 1));
    assert_eq!(overseen(true, None, broken()).await, (Err("no more workers".to_owned()), 1));
}

#[tokio::test]
async fn listener_of_the_shop_that_ends_after_the_shutdown_began_is_not_an_error() {
    assert_eq!(overseen(true, None, None).await, (Ok(vec!["a command".to_owned()]), 0));
    assert_eq!(overseen(true, Some(Ok(())), None).await, (Ok(vec!["a command".to_owned()]), 0));
}
