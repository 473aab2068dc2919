//! Idempotency keys as Stripe documents them (<https://docs.stripe.com/api/idempotent_requests>).
//!
//! The first answer of a call that began to execute is kept, whatever it was, and given again for the same key. A call
//! that was refused before it began leaves its key free. Keys are forgotten after a day of the simulator's clock.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::refusal::Refusal;

pub(crate) const LONGEST_KEY: usize = 255;
const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// A status and the text of a body, to be sent again byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub status: u16,
    pub body: String,
}

struct Record {
    fingerprint: String,
    /// `None` while the call executes.
    kept: Option<Kept>,
    /// The call is not over before its answer has left.
    in_use_until: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Keys {
    records: HashMap<String, Record>,
    /// Oldest first, with when they are forgotten.
    ages: VecDeque<(i64, String)>,
}

impl Keys {
    /// What the key already answers, or `None` if the call is the first and may begin.
    pub fn begin(&mut self, key: &str, fingerprint: &str, now: i64) -> Result<Option<Kept>, Refusal> {
        self.forget_old(now);
        if let Some(record) = self.records.get(key) {
            if record.fingerprint != fingerprint {
                return Err(Refusal::other_request(key));
            }
            let busy = record.in_use_until.is_some_and(|until| Instant::now() < until);
            return match &record.kept {
                Some(kept) if !busy => Ok(Some(kept.clone())),
                _ => Err(Refusal::key_in_use(key)),
            };
        }
        let record = Record { fingerprint: fingerprint.to_owned(), kept: None, in_use_until: None };
        self.records.insert(key.to_owned(), record);
        self.ages.push_back((now.saturating_add(LIFETIME_SECONDS), key.to_owned()));
        Ok(None)
    }

    pub fn keep(&mut self, key: &str, kept: Kept, in_use_until: Option<Instant>) {
        if let Some(record) = self.records.get_mut(key) {
            record.kept = Some(kept);
            record.in_use_until = in_use_until;
        }
    }

    /// The call did not begin after all.
    pub fn release(&mut self, key: &str) {
        self.records.remove(key);
        // The key may be used again at once, and must not be forgotten for its first, void use.
        if self.ages.back().is_some_and(|(_, last)| last == key) {
            self.ages.pop_back();
        } else {
            self.ages.retain(|(_, other)| other != key);
        }
    }

    fn forget_old(&mut self, now: i64) {
        while self.ages.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.ages.pop_front() {
                self.records.remove(&key);
            }
        }
    }
}
