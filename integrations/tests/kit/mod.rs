//! Shared by the tests of several adapters: a server that a test controls, a recorded log, a context.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::context::{Caller, Deadline, RequestContext, RequestId, TraceContext};
pub use faultkit::Visit;
use slog::{Drain, KV, Logger, OwnedKVList, Record, o};
use tokio_util::sync::CancellationToken;

pub const AMPLE: Duration = Duration::from_secs(30);
/// A call in a test must end within this time. A call with a working limit ends much earlier, and a call with a broken
/// limit ends much later.
pub const SOON: Duration = Duration::from_secs(5);

/// A server on a free port.
pub struct Server(faultkit::Server);

impl Server {
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(Visit) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(faultkit::Server::start(([127, 0, 0, 1], 0).into(), serve).await.expect("a port"))
    }

    /// The received requests in lower case, because the names of headers are case-insensitive.
    pub fn requests(&self) -> Vec<String> {
        self.as_sent().iter().map(|request| request.to_lowercase()).collect()
    }

    pub fn as_sent(&self) -> Vec<String> {
        self.0.received().into_iter().map(|request| request.text).collect()
    }

    /// The URL of the server, with a path and a query that must not be logged.
    pub fn url(&self) -> String {
        format!("http://{}/hook?token=hidden", self.0.address)
    }
}

impl Deref for Server {
    type Target = faultkit::Server;
    fn deref(&self) -> &faultkit::Server {
        &self.0
    }
}

/// Records every log line, with its fields, as text.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("sound").clone()
    }
    pub fn log(&self) -> Logger {
        Logger::root(self.clone(), o!())
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        struct Fields(String);
        impl slog::Serializer for Fields {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push_str(&format!(" {key}={value}"));
                Ok(())
            }
        }
        let mut fields = Fields(format!("{} {}", record.level(), record.msg()));
        record.kv().serialize(record, &mut fields).expect("infallible");
        values.serialize(record, &mut fields).expect("infallible");
        self.0.lock().expect("sound").push(fields.0);
        Ok(())
    }
}

pub fn ctx(budget: Duration) -> RequestContext {
    ctx_with(&Lines::default(), budget)
}

pub fn ctx_with(lines: &Lines, budget: Duration) -> RequestContext {
    let id = RequestId::parse("req-1").expect("valid");
    let deadline = Deadline::after(budget);
    RequestContext::new(&lines.log(), id, TraceContext::start(), Caller::Anonymous, deadline, CancellationToken::new())
}
