//! The log, for tests that search it.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Drain, KV, Key, Logger, Never, OwnedKVList, Record, Serializer, o};

/// All log lines so far. A line is the message, then its values as `name=value` in reverse order.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    pub fn logger(&self) -> Logger {
        Logger::root(self.clone().fuse(), o!())
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the lines that have the message and every value of `line`.
    pub fn count(&self, line: &str) -> usize {
        let (message, facts) = match line.find('=') {
            Some(first) => line.split_at(line[..first].rfind(' ').unwrap_or(0)),
            None => (line, ""),
        };
        let fits = |logs: &String| {
            let mut facts = facts.split_whitespace();
            logs.starts_with(message) && facts.all(|fact| logs.split_whitespace().any(|logs| logs == fact))
        };
        self.lines().iter().filter(|logs| fits(logs)).count()
    }
}

impl Drain for Logs {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        let mut line = Line(record.msg().to_string());
        let _ = record.kv().serialize(record, &mut line);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!(" {key}={value}"));
        Ok(())
    }
}
