//! Structured logs: JSON lines or a terminal format, written by a separate thread.
//!
//! The buffer of waiting lines is bounded. If it is full because the output is not read, new lines are dropped, so that
//! requests are not delayed. The next written line gives the number of dropped lines. If a write fails (a full disk, a
//! closed pipe), the line is lost and counted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use slog::{Drain, FnValue, Level, LevelFilter, Logger, OwnedKVList, Record, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{Decorator, RecordDecorator};

use crate::config::{LogFormat, level_name};
use crate::instant::rfc3339;

/// The most lines that wait to be written: a few megabytes.
const BUFFER: usize = 8_192;

/// Where JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Standard,
    /// Standard error. The commands use it, because standard output carries their results.
    Error,
}

/// How long the process waits at its end for its last lines to be written. The output may be a pipe that is not read.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes the remaining lines when it is dropped, within [`LAST_LINES`].
pub struct Flush(Option<AsyncGuard>);

impl Drop for Flush {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (written, wait) = mpsc::channel();
        // The drop of the guard waits for the writing thread, without end if the output is a full pipe. So another
        // thread drops the guard; both threads end with the process.
        let writing = std::thread::Builder::new().name("last lines".to_owned()).spawn(move || {
            drop(guard);
            // An error means that the receiver is gone after its timeout.
            let _ = written.send(());
        });
        if writing.is_ok() {
            // A timeout is ignored, because the process ends next.
            let _ = wait.recv_timeout(LAST_LINES);
        }
    }
}

/// The number of log lines that could not be written since the process started.
#[derive(Clone, Debug, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts the log. Returns the logger, the guard that writes the last lines when it is dropped, and the count of lost
/// lines. The caller keeps the guard until the process ends.
pub fn start(format: LogFormat, level: Level, output: Output) -> (Logger, Flush, LostLines) {
    let lost = LostLines::default();
    let (log, flush) = match (format, output) {
        (LogFormat::Json, Output::Standard) => detach(json_lines(io::stdout()), level, &lost),
        (LogFormat::Json, Output::Error) => detach(json_lines(io::stderr()), level, &lost),
        (LogFormat::Terminal, _) => {
            let decorator = OneLine(slog_term::TermDecorator::new().stderr().build());
            detach(slog_term::FullFormat::new(decorator).use_utc_timestamp().build(), level, &lost)
        }
    };
    (log, flush, lost)
}

/// The terminal format with one line for each record: control characters of messages and values are escaped. Errors of
/// libraries contain line ends, and a value may contain input of a client.
struct OneLine<D>(D);

impl<D: Decorator> Decorator for OneLine<D> {
    fn with_record<F>(&self, record: &Record<'_>, values: &OwnedKVList, write: F) -> io::Result<()>
    where
        F: FnOnce(&mut dyn RecordDecorator) -> io::Result<()>,
    {
        self.0.with_record(record, values, |to| write(&mut OneLineRecord { to, in_text: false }))
    }
}

struct OneLineRecord<'a> {
    to: &'a mut dyn RecordDecorator,
    /// Whether a message, a key or a value is being written.
    in_text: bool,
}

impl OneLineRecord<'_> {
    fn text(&mut self, start: fn(&mut dyn RecordDecorator) -> io::Result<()>) -> io::Result<()> {
        self.in_text = true;
        start(self.to)
    }

    fn between(&mut self, start: fn(&mut dyn RecordDecorator) -> io::Result<()>) -> io::Result<()> {
        self.in_text = false;
        start(self.to)
    }
}

impl io::Write for OneLineRecord<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.in_text {
            return self.to.write(bytes);
        }
        for piece in bytes.split_inclusive(u8::is_ascii_control) {
            match piece.split_last() {
                Some((last, rest)) if last.is_ascii_control() => {
                    self.to.write_all(rest)?;
                    write!(self.to, "{}", last.escape_ascii())?;
                }
                _ => self.to.write_all(piece)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The decorator inside gives the other parts no format, so they begin like `reset`.
impl RecordDecorator for OneLineRecord<'_> {
    fn reset(&mut self) -> io::Result<()> {
        self.between(|to| to.reset())
    }
    fn start_msg(&mut self) -> io::Result<()> {
        self.text(|to| to.start_msg())
    }
    fn start_level(&mut self) -> io::Result<()> {
        self.between(|to| to.start_level())
    }
    fn start_key(&mut self) -> io::Result<()> {
        self.text(|to| to.start_key())
    }
    fn start_value(&mut self) -> io::Result<()> {
        self.text(|to| to.start_value())
    }
}

/// Passes the warnings and errors of libraries to the log. Lower levels are left out, because they contain what
/// libraries send and receive.
struct Libraries(Logger);

/// Passes the warnings and errors that libraries report through the crates `log` and `tracing` to `log`.
pub fn bridge_libraries(log: &Logger) {
    // A second call has no effect.
    if ::log::set_boxed_logger(Box::new(Libraries(log.clone()))).is_ok() {
        ::log::set_max_level(::log::LevelFilter::Warn);
    }
}

/// The longest report of a library, in characters. The rest is cut.
const LONGEST_REPORT: usize = 500;

impl ::log::Log for Libraries {
    fn enabled(&self, report: &::log::Metadata<'_>) -> bool {
        // The HTTP library reports every malformed request as an error. Clients must not fill the log.
        report.level() <= ::log::Level::Warn && !report.target().starts_with("actix_http")
    }

    fn log(&self, report: &::log::Record<'_>) {
        if !self.enabled(report.metadata()) {
            return;
        }
        let text: String = report.args().to_string().chars().take(LONGEST_REPORT).collect();
        match report.level() {
            ::log::Level::Error => {
                slog::error!(self.0, "a library reports an error"; "op" => "library", "library" => report.target(),
                    "error" => text);
            }
            _ => {
                slog::warn!(self.0, "a library warns"; "op" => "library", "library" => report.target(), "error" => text);
            }
        }
    }

    fn flush(&self) {}
}

/// Counts the lines that the inner drain cannot write.
struct Counting<D> {
    drain: D,
    lost: LostLines,
}

impl<D: Drain> Drain for Counting<D> {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        if self.drain.log(record, values).is_err() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Formats a line in memory and writes it whole. A line that cannot be formatted leaves no fragment in the output.
struct JsonLines<W: io::Write> {
    format: slog_json::Json<Line<W>>,
    abandoned: Arc<AtomicBool>,
}

/// The most bytes of the line buffer that are kept for the next line.
const USUAL_LINE: usize = 16 * 1_024;

/// Collects the pieces of a line and writes them together at the end of the record.
struct Line<W> {
    bytes: Vec<u8>,
    /// Whether the collected bytes belong to a record that could not be formatted.
    abandoned: Arc<AtomicBool>,
    to: W,
    /// Whether the last write failed in the middle of a line.
    cut: bool,
}

impl<W: io::Write> io::Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.abandoned.load(Ordering::Relaxed) && self.abandoned.swap(false, Ordering::Relaxed) {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.write_line();
        self.bytes.clear();
        self.bytes.shrink_to(USUAL_LINE);
        written
    }
}

impl<W: io::Write> Line<W> {
    fn write_line(&mut self) -> io::Result<()> {
        if self.cut {
            self.to.write_all(b"\n")?;
            self.cut = false;
        }
        let mut rest = self.bytes.as_slice();
        let written = loop {
            match self.to.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) if count == rest.len() => break Ok(()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.cut = written.is_err() && rest.len() < self.bytes.len();
        written.and_then(|()| self.to.flush())
    }
}

impl<W: io::Write> Drain for JsonLines<W> {
    type Ok = ();
    type Err = io::Error;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
        let written = self.format.log(record, values);
        if written.is_err() {
            self.abandoned.store(true, Ordering::Relaxed);
        }
        written
    }
}

fn json_lines<W: io::Write>(to: W) -> JsonLines<W> {
    let abandoned = Arc::new(AtomicBool::new(false));
    let line = Line { bytes: Vec::new(), abandoned: Arc::clone(&abandoned), to, cut: false };
    let format = slog_json::Json::new(line)
        .set_newlines(true)
        .set_flush(true)
        .add_key_value(o!(
            "at" => FnValue(|_: &Record<'_>| now()),
            "level" => FnValue(|record: &Record<'_>| level_name(record.level())),
            "msg" => FnValue(|record: &Record<'_>| record.msg().to_string()),
        ))
        .build();
    JsonLines { format, abandoned }
}

fn detach<D>(drain: D, level: Level, lost: &LostLines) -> (Logger, Flush)
where
    D: Drain<Ok = ()> + Send + 'static,
{
    let drain = Counting { drain, lost: lost.clone() };
    let buffered = Async::new(drain).chan_size(BUFFER).overflow_strategy(OverflowStrategy::DropAndReport);
    let (drain, guard) = buffered.build_with_guard();
    (Logger::root(LevelFilter::new(drain, level).ignore_res(), o!()), Flush(Some(guard)))
}

/// The time of a log line, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the time of a log line is not business time")]
fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    rfc3339(now)
}

/// Keeps its lines in memory, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
pub struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Kept {
    pub fn logger(&self) -> Logger {
        Logger::root(std::sync::Mutex::new(json_lines(self.clone())).ignore_res(), o!())
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

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
