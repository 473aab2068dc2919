//! The kit of every api test: the real binary on a free port, a database of its own on either engine, a client that
//! sends requests as a platform, and the official models that validate the answers.
//!
//! A test is an `async fn(Place)`. [`on_both_engines!`](crate::on_both_engines) turns it into the tests `sqlite::name`
//! and `postgres::name`. After a test has returned, the kit validates every answer and searches every log line for
//! secrets.

#![allow(dead_code, reason = "each test binary uses its part of the kit")]

pub mod basket;
pub mod client;
pub mod command;
pub mod logs;
pub mod models;
pub mod place;
pub mod process;
pub mod raw;
pub mod server;

use std::future::Future;
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "not every test binary names them all")]
pub use client::{Answer, Client, Request};
pub use place::Place;
#[allow(unused_imports, reason = "not every test binary names them all")]
pub use server::{Server, Stopped};

/// Makes the tests `sqlite::name` and `postgres::name` of every given `async fn(Place)`.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $crate::on_sqlite!($($test),+);
        $crate::on_postgres!($($test),+);
    };
}

/// Makes tests on Postgres only, for behaviour that needs a database server.
#[macro_export]
macro_rules! on_postgres {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[test] fn $test() {
                if let Some(place) = $crate::kit::Place::postgres() {
                    $crate::kit::run(place, super::$test);
                }
            })+
        }
    };
}

/// Makes tests on SQLite only, for behaviour that does not depend on the engine.
#[macro_export]
macro_rules! on_sqlite {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { $crate::kit::run($crate::kit::Place::sqlite(), super::$test); })+
        }
    };
}

/// Runs one test on its own runtime. Then checks the recorded answers and log lines.
pub fn run<F: Future<Output = ()>>(place: Place, test: impl FnOnce(Place) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let record = place.record().clone();
    runtime.block_on(test(place));
    runtime.shutdown_timeout(Duration::from_secs(10));
    record.check();
}

/// The deadline of every wait. It is long, because it only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `ask` until it returns a value, and returns the value. Panics after [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
