//! Structured logs: JSON lines or a terminal format, written by a thread of their own.
//!
//! The buffer is bounded. When nobody reads the output, requests do not wait: lines are dropped and the number of them
//! is told as soon as there is room again.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use slog::{Drain, FnValue, Level, LevelFilter, Logger, Record, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};

use crate::config::LogFormat;

/// Lines that wait to be written. At a few hundred bytes each, a few megabytes.
const BUFFER: usize = 8_192;

/// Where JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Standard,
    /// Beside standard output, which belongs to what a command has to say.
    Error,
}

/// How long the process waits at its end for its last lines to be written. Nobody may be reading them.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes what is left when it is dropped, if anybody reads it.
pub struct Flush(Option<AsyncGuard>);

impl Drop for Flush {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (told, heard) = mpsc::channel();
        // To drop the guard is to wait for the thread that writes, for ever if the output is a full pipe. What is left
        // of both threads ends with the process.
        let writing = std::thread::Builder::new().name("last lines".to_owned()).spawn(move || {
            drop(guard);
            // Nobody listens any more once time was up.
            let _ = told.send(());
        });
        if writing.is_ok() {
            // Written, or time is up: either way the process ends now.
            let _ = heard.recv_timeout(LAST_LINES);
        }
    }
}

/// A logger, and what writes the last lines when it is dropped. Keep it until the very end.
pub fn start(format: LogFormat, level: Level, output: Output) -> (Logger, Flush) {
    match (format, output) {
        (LogFormat::Json, Output::Standard) => detach(json_lines(io::stdout()).fuse(), level),
        (LogFormat::Json, Output::Error) => detach(json_lines(io::stderr()).fuse(), level),
        (LogFormat::Terminal, _) => {
            let decorator = slog_term::TermDecorator::new().stderr().build();
            let drain = slog_term::FullFormat::new(decorator).use_utc_timestamp().build();
            detach(drain.fuse(), level)
        }
    }
}

fn json_lines<W: io::Write>(to: W) -> slog_json::Json<io::BufWriter<W>> {
    // A whole line in one write: what else is said there comes before it or after it.
    slog_json::Json::new(io::BufWriter::new(to))
        .set_newlines(true)
        .set_flush(true)
        .add_key_value(o!(
            "at" => FnValue(|_: &Record<'_>| now()),
            "level" => FnValue(|record: &Record<'_>| level_name(record.level())),
            "msg" => FnValue(|record: &Record<'_>| record.msg().to_string()),
        ))
        .build()
}

fn detach<D>(drain: D, level: Level) -> (Logger, Flush)
where
    D: Drain<Err = slog::Never, Ok = ()> + Send + 'static,
{
    let buffered = Async::new(drain).chan_size(BUFFER).overflow_strategy(OverflowStrategy::DropAndReport);
    let (drain, guard) = buffered.build_with_guard();
    (Logger::root(LevelFilter::new(drain, level).ignore_res(), o!()), Flush(Some(guard)))
}

/// A log line is stamped by the machine's clock, not by the shop's: it tells when the line was written.
#[expect(clippy::disallowed_methods, reason = "the time of a log line is not business time")]
fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// Keeps its lines instead of writing them.
#[cfg(test)]
#[derive(Clone, Default)]
pub struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Kept {
    pub fn logger(&self) -> Logger {
        Logger::root(std::sync::Mutex::new(json_lines(self.clone())).fuse(), o!())
    }

    pub fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().expect("not poisoned");
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
