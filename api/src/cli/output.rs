//! The output of a command. When output cannot be written, the command continues its work and ends with exit code 3.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something could not be written to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::to_standard(format_args!($($text)*), "\n") };
}

/// Writes a line to standard error.
macro_rules! complain {
    ($($text:tt)*) => { $crate::cli::output::to_error(format_args!($($text)*)) };
}

pub(super) use {complain, say};

pub(super) fn to_standard(text: fmt::Arguments<'_>, end: &str) {
    let mut out = io::stdout().lock();
    let written = write!(out, "{text}{end}").and_then(|()| out.flush());
    note(written);
}

/// Writes a line to standard error. A failure is ignored, because there is no other place to report it.
pub(super) fn to_error(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Joins the lines of a text into one.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Remembers if a write to standard output has failed.
pub(super) fn note(written: io::Result<()>) {
    if written.is_err() {
        LOST.store(true, Ordering::Relaxed);
    }
}

pub(super) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
