//! Records what the product sends to the database during a test.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use slog::{Drain, KV, Key, Never, OwnedKVList, Record, Serializer};

/// The statements and operations of one test. Clones share one recording.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Recorded>>);

#[derive(Default)]
pub struct Recorded {
    /// Each statement that finds rows, with values that it was sent with. Both are as diesel shows them. Of values of one
    /// shape, the first and the last in the order of text are kept. They often have the earliest and the latest time.
    pub statements: BTreeMap<String, BTreeMap<Shape, BTreeSet<String>>>,
    /// The names of all operations that ended.
    pub operations: BTreeSet<String>,
    /// The operations that sent statements outside of a transaction, more than one.
    pub loose: BTreeSet<String>,
    /// The number of messages to the engine in the last run of each operation: its statements, `BEGIN` and `COMMIT`.
    pub messages: BTreeMap<String, usize>,
    /// All statements, without those that control a transaction or a session.
    pub sent: BTreeSet<String>,
    /// The statements that a connection keeps prepared.
    pub prepared: BTreeSet<String>,
}

/// The first words of statements that read or change rows.
const VERBS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

impl Recorded {
    /// Records a statement, unless it is one that finds no rows. An insert finds its place by the key.
    fn statement(&mut self, statement: &str, values: &str) {
        if VERBS.iter().any(|verb| statement.starts_with(verb)) {
            self.sent.insert(statement.to_owned());
        }
        if ["SELECT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| statement.starts_with(verb)) {
            let of_statement = self.statements.entry(statement.to_owned()).or_default();
            let kept = of_statement.entry(shape(values)).or_default();
            kept.insert(values.to_owned());
            if kept.len() > 2 {
                *kept = [kept.pop_first(), kept.pop_last()].into_iter().flatten().collect();
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (statement, of_statement) in &other.statements {
            of_statement.values().flatten().for_each(|values| self.statement(statement, values));
        }
        self.operations.extend(other.operations.iter().cloned());
        self.loose.extend(other.loose.iter().cloned());
    }
}

/// Values without their words that have digits, so that executions with other ids have one shape.
type Shape = String;

fn shape(values: &str) -> Shape {
    let words = values.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words.map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word }).collect()
}

thread_local! {
    /// The statements and the log lines of a transaction come from the thread that runs the transaction. It is a thread
    /// of the test's runtime, or the thread of the test.
    static CURRENT: RefCell<Option<Recording>> = const { RefCell::new(None) };
    /// The statements of the operation that this thread runs.
    static STATEMENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Whether these statements of one operation are in a transaction, or are one that needs none.
fn are_safe(statements: &[String]) -> bool {
    // The start of a test and a new connection send statements that belong to no operation.
    let is_of_operation =
        |statement: &&String| VERBS.iter().any(|verb| statement.starts_with(verb)) && !statement.contains("schema");
    let of_operation: Vec<_> = statements.iter().filter(is_of_operation).collect();
    let is_one = of_operation.len() <= 1;
    // A write that joined the transaction of another has a savepoint.
    let controls = |statement: &String| ["BEGIN", "SAVEPOINT", "COMMIT"].iter().any(|verb| statement.starts_with(verb));
    is_one || statements.iter().any(controls)
}

impl Recording {
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub fn set_current(recording: Option<Self>) {
        CURRENT.set(recording);
    }

    /// Records what this thread does in `body`.
    pub fn during(&self, body: impl FnOnce()) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| set_default_instrumentation(instrumentation).expect("a recorder"));
        let before = Self::current();
        Self::set_current(Some(self.clone()));
        body();
        Self::set_current(before);
    }

    pub fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recorder of every connection that does not remove it, as [`super::raw::Raw`] does.
fn instrumentation() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let (InstrumentationEvent::CacheQuery { sql, .. }, Some(recording)) = (&event, Recording::current()) {
            recording.recorded().prepared.insert((*sql).to_owned());
        }
        if let (InstrumentationEvent::StartQuery { query, .. }, Some(recording)) = (event, Recording::current()) {
            let text = query.to_string();
            let (statement, values) = text.split_once(" -- binds:").unwrap_or((&text, "[]"));
            recording.recorded().statement(statement.trim(), values.trim());
            STATEMENTS.with_borrow_mut(|statements| statements.push(statement.trim().to_owned()));
        }
    }))
}

/// The drain of the log that records the names of ended transactions.
pub struct Operations;

impl Drain for Operations {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        if let (true, Some(recording)) = (record.msg().to_string() == "transaction ended", Recording::current()) {
            let _ = record.kv().serialize(record, &mut Names(&recording));
        }
        Ok(())
    }
}

struct Names<'r>(&'r Recording);

impl Serializer for Names<'_> {
    fn emit_arguments(&mut self, key: Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        if key == "op" {
            let operation = value.to_string();
            let statements = STATEMENTS.take();
            if !are_safe(&statements) {
                self.0.recorded().loose.insert(operation.clone());
            }
            self.0.recorded().messages.insert(operation.clone(), statements.len());
            self.0.recorded().operations.insert(operation);
        }
        Ok(())
    }
}
