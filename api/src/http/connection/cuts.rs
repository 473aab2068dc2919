//! The connections of a listener: their limits, their number, and the cut ones, counted and logged by reason.

use std::array;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use slog::{Logger, warn};
use strum::{IntoStaticStr, VariantArray};

use super::limits::Limits;

/// Why the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Cut {
    /// The peer sent nothing.
    Silent,
    /// A head began and did not end in time.
    SlowHead,
    /// A head was larger than the limit.
    LargeHead,
    /// A body did not arrive in time.
    SlowBody,
    /// The peer sent for too long, or too much, after its last response.
    UnreadBody,
    /// The peer did not read its response.
    SlowReader,
}

#[derive(Default)]
struct Reason {
    cut: AtomicU64,
    reported: AtomicU64,
    last: Mutex<Option<SocketAddr>>,
}

/// The connections of one listener: their limits, their number, and the counts of the cut ones.
pub struct Connections {
    listener: &'static str,
    pub(super) limits: Limits,
    reasons: [Reason; Cut::VARIANTS.len()],
    pub(super) open: AtomicUsize,
    /// The bytes of memory that large bodies and large unread responses hold at present.
    pub(super) held: AtomicUsize,
}

impl Connections {
    /// `listener` is the name of the listener in log lines.
    pub fn new(listener: &'static str, limits: Limits) -> Self {
        Self {
            listener,
            limits,
            reasons: array::from_fn(|_| Reason::default()),
            open: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        }
    }

    pub(super) fn cut(&self, cut: Cut, peer: Option<SocketAddr>) {
        let reason = &self.reasons[cut as usize];
        reason.cut.fetch_add(1, Ordering::Relaxed);
        *reason.last.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    /// Whether more than three quarters of the permitted connections are open. Connections are then closed after their
    /// response, so that other clients find room.
    pub(super) fn are_scarce(&self) -> bool {
        self.open.load(Ordering::Relaxed).saturating_mul(4) > self.limits.connections.saturating_mul(3)
    }

    /// The state for `/statusz`: open connections, held bytes, and cut connections by reason since the start.
    pub fn status(&self) -> Value {
        let count = |cut: &Cut| Value::from(self.reasons[*cut as usize].cut.load(Ordering::Relaxed));
        json!({
            "open": self.open.load(Ordering::Relaxed),
            "held_bytes": self.held.load(Ordering::Relaxed),
            "cut": Map::from_iter(Cut::VARIANTS.iter().map(|cut| (cut.into_str().to_owned(), count(cut)))),
        })
    }

    /// Logs one line for each reason that occurred since the last report, and one while connections are at their limit.
    /// The server calls it once a second.
    pub fn report(&self, log: &Logger) {
        for cut in Cut::VARIANTS {
            let reason = &self.reasons[*cut as usize];
            let total = reason.cut.load(Ordering::Relaxed);
            let new = total - reason.reported.swap(total, Ordering::Relaxed);
            if new > 0 {
                let peer = *reason.last.lock().unwrap_or_else(PoisonError::into_inner);
                let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
                warn!(log, "connections cut"; "op" => "http.connection", "listener" => self.listener, "reason" => cut.into_str(), "count" => new,
                    "total" => total, "last_peer" => peer);
            }
        }
        let (open, limit) = (self.open.load(Ordering::Relaxed), self.limits.connections);
        if open >= limit {
            warn!(log, "connections are at their limit; new ones wait"; "op" => "http.connection",
                "listener" => self.listener, "error_code" => "connections_exhausted", "open" => open, "limit" => limit);
        }
    }
}
