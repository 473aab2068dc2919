//! The official models of the protocol as judges. They are Python; one interpreter serves a whole test binary.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use faultkit::provided::UCP_MODELS;
use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kit/validate.py");

/// What the models object to; `None`, and a word about it, when there is no Python to ask.
pub fn validate(answers: &[Value]) -> Option<Vec<String>> {
    static JUDGE: OnceLock<Mutex<Judge>> = OnceLock::new();
    if answers.is_empty() {
        return Some(Vec::new());
    }
    let python = UCP_MODELS.get_for_part()?;
    let judge = JUDGE.get_or_init(|| Mutex::new(Judge::summon(&python)));
    let complaints = judge.lock().unwrap_or_else(PoisonError::into_inner).judge(answers);
    UCP_MODELS.used();
    Some(complaints)
}

/// Ends when its standard input does, which is when this process ends.
struct Judge {
    _child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Judge {
    fn summon(python: &str) -> Self {
        let mut command = Command::new(python);
        command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}={python}: {error}", UCP_MODELS.variable));
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { _child: child, to: BufWriter::new(to), from: BufReader::new(from) }
    }

    /// One line to it for each answer and an empty one; one line from it, a list of complaints.
    fn judge(&mut self, answers: &[Value]) -> Vec<String> {
        for answer in answers {
            writeln!(self.to, "{answer}").expect("the models listen");
        }
        writeln!(self.to).and_then(|()| self.to.flush()).expect("the models listen");
        let mut verdict = String::new();
        self.from.read_line(&mut verdict).expect("the models answer");
        serde_json::from_str(&verdict).unwrap_or_else(|error| panic!("the models said {verdict:?}: {error}"))
    }
}
