//! Whether there is room on the disk below the database, as the last writes found.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::fault::Fault;
use slog::{Logger, error, info, o};

/// Says once that there is no room, and once that there is some again, however many try meanwhile.
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

    /// A write failed for want of room.
    pub(super) fn ran_out(&self, fault: &Fault) {
        if !self.out.swap(true, Ordering::AcqRel) {
            error!(self.log, "the disk of the database is full"; "error_code" => fault.kind().as_str(),
                "error" => fault.chain());
        }
    }

    /// A write was committed that needed room. One that changes nothing needs none: the background tasks commit such all
    /// the time.
    pub(super) fn was_found(&self) {
        if self.out.swap(false, Ordering::AcqRel) {
            info!(self.log, "the disk of the database has room again");
        }
    }
}
