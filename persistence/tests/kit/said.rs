//! What was logged, for tests that look for a line.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Drain, KV, Key, Logger, Never, OwnedKVList, Record, Serializer, o};

/// Every line so far: the message, then its own facts as `name=value`, the last one first.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    pub fn logger(&self) -> Logger {
        Logger::root(self.clone().fuse(), o!())
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines have the message and every fact of `line`.
    pub fn count(&self, line: &str) -> usize {
        let (message, facts) = match line.find('=') {
            Some(first) => line.split_at(line[..first].rfind(' ').unwrap_or(0)),
            None => (line, ""),
        };
        let fits = |said: &String| {
            let mut facts = facts.split_whitespace();
            said.starts_with(message) && facts.all(|fact| said.split_whitespace().any(|said| said == fact))
        };
        self.lines().iter().filter(|said| fits(said)).count()
    }
}

impl Drain for Said {
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
