//! What buyers were told, and what they still wait to be told.

use std::collections::VecDeque;

use crate::platform::{Call, Reply};

/// What the buyers know, together.
#[derive(Default)]
pub struct Memory {
    /// Checkout and order of each "completed".
    pub acknowledged: Vec<(String, String)>,
    /// Checkouts that were refused for good.
    pub refused: Vec<String>,
    /// Completions without a definite answer, and their checkouts; whoever asked longest ago first.
    pub open: VecDeque<(String, Call)>,
}

impl Memory {
    /// Remembers what came of a completion; `None` is no answer.
    pub fn remember(&mut self, checkout: String, call: Call, reply: Option<Reply>) {
        let Some(reply) = reply else { return self.open.push_back((checkout, call)) };
        match (reply.status, reply.checkout_status(), reply.order()) {
            (200, "completed", Some(order)) => self.acknowledged.push((checkout, order)),
            (402, "ready_for_complete", None) => self.refused.push(checkout),
            (200, "incomplete", None) if reply.says("out_of_stock") => self.refused.push(checkout),
            (200, "complete_in_progress", None) | (503 | 504, ..) => self.open.push_back((checkout, call)),
            (409, ..) if reply.says("idempotency_in_progress") => self.open.push_back((checkout, call)),
            _ => panic!("{call:?} was answered with {reply:?}"),
        }
    }

    /// How many completions have had their last answer.
    pub fn decided(&self) -> usize {
        self.acknowledged.len() + self.refused.len()
    }
}
