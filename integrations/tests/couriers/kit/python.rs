//! Python, with libraries that others wrote for the protocols that are spoken here.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;

use faultkit::Received;
use serde_json::{Value, json};

const PYTHON: &str = "XTASK_PYTHON";

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
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// `None`, and a word about it, when there is no Python to run it.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        static SAID: Once = Once::new();
        let Ok(python) = std::env::var(PYTHON) else {
            SAID.call_once(|| {
                let what = "message signatures and SMTP, by independent implementations";
                let _ = writeln!(std::io::stderr(), "NOT CHECKED: {what} ({PYTHON} is not set)");
            });
            return None;
        };
        let path = format!("{}/../integrations/tests/couriers/kit/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(&python);
        command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{PYTHON}={python}: {error}"));
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("piped")));
        Some(Self { child, to, from })
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
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("it said {line:?}: {error}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.wait();
    }
}
