//! The tests that run on an engine. Each is also a case in a list, so that a later test can use what it recorded.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Place;
use super::recording::{Recorded, Recording};

/// Makes a `sqlite::name` and a `postgres::name` test of every named `async fn(Place)`.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        $crate::on_sqlite!($($test),+);
        $crate::on_postgres!($($test),+);
    };
}

#[macro_export]
macro_rules! on_sqlite {
    ($($test:ident),+ $(,)?) => {
        $crate::cases!(sqlite, || Some($crate::kit::Place::sqlite()), $($test),+);
    };
}

#[macro_export]
macro_rules! on_postgres {
    ($($test:ident),+ $(,)?) => {
        $crate::cases!(postgres, $crate::kit::Place::postgres, $($test),+);
    };
}

/// Makes a test of every named `async fn(Place)`, on a Postgres database that orders text by a language and not by its
/// bytes.
#[macro_export]
macro_rules! on_collated_postgres {
    ($($test:ident),+ $(,)?) => {
        $crate::cases!(collated_postgres, $crate::kit::Place::collated_postgres, $($test),+);
    };
}

#[macro_export]
macro_rules! cases {
    ($module:ident, $place:expr, $($test:ident),+) => {
        mod $module {
            $(#[test] fn $test() {
                static CASE: $crate::kit::cases::Case = $crate::kit::cases::Case::new(
                    concat!(module_path!(), "::", stringify!($test)),
                    $place,
                    |place| Box::pin(super::$test(place)),
                );
                inventory::submit! { $crate::kit::cases::Listed(&CASE) }
                CASE.run();
            })+
        }
    };
}

/// One test on one engine. It runs once in this process, even if several threads want its result.
pub struct Case {
    name: &'static str,
    place: fn() -> Option<Place>,
    test: fn(Place) -> Pin<Box<dyn Future<Output = ()>>>,
    /// The recording, unless the test failed.
    ran: OnceLock<Result<Recording, ()>>,
}

pub struct Listed(pub &'static Case);

inventory::collect!(Listed);

impl Case {
    pub const fn new(
        name: &'static str,
        place: fn() -> Option<Place>,
        test: fn(Place) -> Pin<Box<dyn Future<Output = ()>>>,
    ) -> Self {
        Self { name, place, test, ran: OnceLock::new() }
    }

    /// Runs the test, unless it ran before, and returns what it recorded. Panics if the test failed. Without a server
    /// the test is skipped and the recording is empty.
    pub fn run(&self) -> &Recording {
        let mut panic = None;
        let ran = self.ran.get_or_init(|| {
            let recording = Recording::default();
            let run = || {
                if let Some(place) = (self.place)() {
                    recording.during(|| run(place, self.test));
                }
            };
            catch_unwind(AssertUnwindSafe(run)).map(|()| recording).map_err(|caught| panic = Some(caught))
        });
        match (ran, panic) {
            (Ok(recording), _) => recording,
            (Err(()), Some(panic)) => resume_unwind(panic),
            (Err(()), None) => panic!("{} failed in another test", self.name),
        }
    }
}

/// Runs the tests of a module on an engine, those that did not run before, and returns what they recorded.
pub fn recorded_by(module: &str, engine: &str) -> Recorded {
    const THREADS: usize = 4;
    let (module, engine) = (format!("::{module}::"), format!("::{engine}::"));
    let all = inventory::iter::<Listed>.into_iter().map(|listed| listed.0);
    let cases: Vec<&Case> = all.filter(|case| case.name.contains(&module) && case.name.contains(&engine)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| while cases.get(next.fetch_add(1, Ordering::Relaxed)).map(|case| case.run()).is_some() {});
        }
    });
    let mut found = Recorded::default();
    for case in cases {
        found.add(&case.run().recorded());
    }
    found
}

/// Runs one test on a separate runtime, whose threads share the recording of this thread.
pub fn run<F: Future<Output = ()>>(place: Place, test: impl FnOnce(Place) -> F) {
    let recording = Recording::current();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || Recording::set_current(recording.clone()))
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test(place));
    runtime.shutdown_timeout(Duration::from_secs(10));
}
