//! The size of a test run, and repeatable random choices.

use std::time::{Duration, Instant};

/// Returns `quick`, or `full` if `XTASK_FAULTS` says so.
pub fn extent<T>(quick: T, full: T) -> T {
    match std::env::var("XTASK_FAULTS").as_deref() {
        Ok("full") => full,
        Ok("quick") | Err(_) => quick,
        Ok(other) => panic!("XTASK_FAULTS must be `quick` or `full`, not {other:?}"),
    }
}

/// The deadline of a wait. It only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `ask` until it returns a value, and returns the value.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// A random number generator with a seed (SplitMix64). The same seed makes the same choices.
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to, but not including, `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = choices.len() as u64;
        &choices[usize::try_from(self.between(0, last)).expect("an index")]
    }
}
