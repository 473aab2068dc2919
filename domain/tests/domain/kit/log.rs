//! A log that a test can read.

use std::fmt::{self, Arguments, Display, Formatter};
use std::sync::{Arc, Mutex};

use slog::{Drain, KV, Key, Never, OwnedKVList, Record, Serializer};

/// A log drain that keeps each line.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<Line>>>);

#[derive(Clone)]
pub struct Line {
    level: &'static str,
    pub message: String,
    fields: Vec<(Key, String)>,
}

impl Lines {
    pub fn all(&self) -> Vec<Line> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Line {
    /// The value of a field. Empty if the line has no such field.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.level, self.message)?;
        self.fields.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, of_logger: &OwnedKVList) -> Result<(), Never> {
        let (level, message) = (record.level().as_short_str(), record.msg().to_string());
        let mut line = Line { level, message, fields: Vec::new() };
        record.kv().serialize(record, &mut line).expect("infallible");
        of_logger.serialize(record, &mut line).expect("infallible");
        self.0.lock().expect("not poisoned").push(line);
        Ok(())
    }
}

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        self.fields.push((key, value.to_string()));
        Ok(())
    }
}
