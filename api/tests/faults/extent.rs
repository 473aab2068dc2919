//! How much is tried, and chance that can be repeated.

use std::time::{Duration, Instant};

/// `quick`, unless `XTASK_FAULTS` asks for `full`.
pub fn extent<T>(quick: T, full: T) -> T {
    match std::env::var("XTASK_FAULTS").as_deref() {
        Ok("full") => full,
        Ok("quick") | Err(_) => quick,
        Ok(other) => panic!("XTASK_FAULTS must be `quick` or `full`, not {other:?}"),
    }
}

/// How long anything may take that is about to happen. It only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < patience, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// Chance from a seed (SplitMix64): the same seed, the same choices.
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

    /// At least `from`, less than `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = choices.len() as u64;
        &choices[usize::try_from(self.between(0, last)).expect("an index")]
    }
}
