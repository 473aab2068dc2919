//! The outcomes that buyers observed, and the completions whose outcome is still open.

use std::collections::VecDeque;

use crate::platform::{Call, Reply};

/// The observations of all buyers.
#[derive(Default)]
pub struct Outcomes {
    /// The checkout and the order of each completion.
    pub acknowledged: Vec<(String, String)>,
    /// Checkouts that were refused definitively.
    pub refused: Vec<String>,
    /// Completions without a definite answer, with their checkouts; the oldest first.
    pub open: VecDeque<(String, Call)>,
}

impl Outcomes {
    /// Records the outcome of a completion. `None` means that no answer arrived.
    pub fn record(&mut self, checkout: String, call: Call, reply: Option<Reply>) {
        let Some(reply) = reply else { return self.open.push_back((checkout, call)) };
        match (reply.status, reply.checkout_status(), reply.order()) {
            (200, "completed", Some(order)) => self.acknowledged.push((checkout, order)),
            (402, "ready_for_complete", None) => self.refused.push(checkout),
            (200, "incomplete", None) if reply.has_code("out_of_stock") => self.refused.push(checkout),
            (200, "complete_in_progress", None) | (503 | 504, ..) => self.open.push_back((checkout, call)),
            (409, ..) if reply.has_code("idempotency_in_progress") => self.open.push_back((checkout, call)),
            _ => panic!("{call:?} was answered with {reply:?}"),
        }
    }

    /// The number of completions with a definite answer.
    pub fn decided(&self) -> usize {
        self.acknowledged.len() + self.refused.len()
    }
}
