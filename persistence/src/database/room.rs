//! Whether the disk of the database has room, judged by the last writes.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::fault::Fault;
use slog::{Logger, error, info, o};

/// Logs once that the disk is full, and once that it has space again.
pub(super) struct Room {
    log: Logger,
    out: AtomicBool,
}

impl Room {
    pub(super) fn new(log: &Logger) -> Self {
        Self { log: log.new(o!("op" => "database.write")), out: AtomicBool::new(false) }
    }

    pub(super) fn is_out(&self) -> bool {
        self.out.load(Ordering::Acquire)
    }

    /// Records that a write failed for lack of space.
    pub(super) fn ran_out(&self, fault: &Fault) {
        if !self.out.swap(true, Ordering::AcqRel) {
            error!(self.log, "the disk of the database is full"; "error_code" => fault.kind().into_str(),
                "error" => fault.chain());
        }
    }

    /// Records that a repeatable write was committed, so that the disk has room. Other writes do not show this:
    /// background tasks often commit claims that find no row and change nothing.
    pub(super) fn was_found(&self) {
        if self.out.swap(false, Ordering::AcqRel) {
            info!(self.log, "the disk of the database has room again");
        }
    }
}
