//! The official models of the protocol as validators. They are written in Python. One interpreter serves a whole test
//! binary.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use faultkit::provided::UCP_MODELS;
use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kit/validate.py");

/// The complaints of the models. `None` if no Python interpreter is available; the test run reports that.
pub fn validate(answers: &[Value]) -> Option<Vec<String>> {
    static VALIDATOR: OnceLock<Mutex<Validator>> = OnceLock::new();
    if answers.is_empty() {
        return Some(Vec::new());
    }
    let python = UCP_MODELS.get_for_part()?;
    let validate = VALIDATOR.get_or_init(|| Mutex::new(Validator::start(&python)));
    let complaints = validate.lock().unwrap_or_else(PoisonError::into_inner).validate(answers);
    UCP_MODELS.used();
    Some(complaints)
}

/// The interpreter. It ends when its standard input closes, which happens when this process ends.
struct Validator {
    _child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Validator {
    fn start(python: &str) -> Self {
        let mut command = Command::new(python);
        command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}={python}: {error}", UCP_MODELS.variable));
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { _child: child, to: BufWriter::new(to), from: BufReader::new(from) }
    }

    /// Writes one line for each answer and then an empty line. Reads one line: a list of complaints.
    fn validate(&mut self, answers: &[Value]) -> Vec<String> {
        for answer in answers {
            writeln!(self.to, "{answer}").expect("the interpreter reads");
        }
        writeln!(self.to).and_then(|()| self.to.flush()).expect("the interpreter reads");
        let mut verdict = String::new();
        self.from.read_line(&mut verdict).expect("the interpreter answers");
        serde_json::from_str(&verdict).unwrap_or_else(|error| panic!("the interpreter wrote {verdict:?}: {error}"))
    }
}
