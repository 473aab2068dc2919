//! Python scripts with independent implementations of the protocols.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use faultkit::Received;
use faultkit::provided::{MAIL, Provided, SIGNATURES};
use serde_json::{Value, json};

/// The signed components of a webhook whose URL has a query.
const COVERED: [&str; 11] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "ucp-agent",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "x-event-type",
    "content-digest",
    "content-type",
];

/// A running script that reads and writes JSON lines. Dropping this value closes the input of the script, so that the
/// script ends.
pub struct Script {
    judge: Provided,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a script. Returns `None`, and reports the test as skipped, if there is no Python.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let judge = match name {
            "verify.py" => SIGNATURES,
            "smtpd.py" => MAIL,
            other => panic!("no judge in {other}"),
        };
        let python = judge.get()?;
        let path = format!("{}/../integrations/tests/senders/kit/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(&python);
        command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}={python}: {error}", judge.variable));
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("piped")));
        Some(Self { judge, child, to, from })
    }

    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.to.as_mut().expect("open"), "{question}").expect("it reads");
        self.next()
    }

    /// Asks `verify.py` whether the signature of a webhook is valid with these keys. Returns null if it is valid, or
    /// else the reason why it is not.
    pub fn verify_webhook(&mut self, webhook: &Received, keys: &Value) -> Value {
        let url = format!("http://{}{}", webhook.header("host").expect("a host"), webhook.target());
        self.ask(&json!({"method": "POST", "url": url, "headers": webhook.headers(), "body": webhook.body(),
            "keys": keys, "covers": COVERED}))
    }

    /// Reads the next line of the script's output.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("it wrote {line:?}: {error}"));
        self.judge.used();
        value
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}
