//! Python, with libraries that others wrote for the protocols that are spoken here.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use faultkit::Received;
use faultkit::provided::{MAIL, Provided, SIGNATURES};
use serde_json::{Value, json};

/// What is covered by the signature of a webhook whose address has a query.
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

/// A script that speaks in JSON lines. It ends when its standard input does, which is when this is dropped.
pub struct Script {
    judge: Provided,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// `None`, and the test is reported as skipped, when there is no Python to run it.
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
        writeln!(self.to.as_mut().expect("open"), "{question}").expect("it listens");
        self.next()
    }

    /// What `verify.py` says against the signature of a webhook, given these keys: nothing, if all is well.
    pub fn on_webhook(&mut self, webhook: &Received, keys: &Value) -> Value {
        let url = format!("http://{}{}", webhook.header("host").expect("a host"), webhook.target());
        self.ask(&json!({"method": "POST", "url": url, "headers": webhook.headers(), "body": webhook.body(),
            "keys": keys, "covers": COVERED}))
    }

    /// The next line that it says.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("it said {line:?}: {error}"));
        self.judge.used();
        said
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}
