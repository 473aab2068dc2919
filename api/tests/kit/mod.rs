//! What every test of the api stands on: the real binary on a port of its own, a database of its own on either engine,
//! a client that speaks as a platform, and the official models that judge what the shop answers.
//!
//! A test is an `async fn(Place)`; [`on_both_engines!`](crate::on_both_engines) makes `sqlite::name` and
//! `postgres::name` of it. When it returns, everything it was answered is validated and everything that was logged is
//! searched for secrets.

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

/// Makes a `sqlite::name` and a `postgres::name` test of every named `async fn(Place)`.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $crate::on_sqlite!($($test),+);
        $crate::on_postgres!($($test),+);
    };
}

/// For what only a server can do.
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

/// For what does not depend on the engine.
#[macro_export]
macro_rules! on_sqlite {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { $crate::kit::run($crate::kit::Place::sqlite(), super::$test); })+
        }
    };
}

/// Runs one test on a runtime of its own, and then judges what the shop answered and logged meanwhile.
pub fn run<F: Future<Output = ()>>(place: Place, test: impl FnOnce(Place) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let record = place.record().clone();
    runtime.block_on(test(place));
    runtime.shutdown_timeout(Duration::from_secs(10));
    record.judge();
}

/// How long anything that is about to happen may take. Generous: it only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is there, and returns it.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
