//! A running shop: the binary itself, on a port that the machine chose.

use std::net::SocketAddr;
use std::ops::Deref;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::client::Client;
use super::logs::Record;
use super::place::Place;
use super::process::Process;
use super::{PATIENCE, until};

/// What `Simulation-Secret` must say.
pub const SECRET: &str = "simulation-secret-of-the-tests";

/// Killed, by its own process id, when it is dropped.
pub struct Server {
    process: Process,
    address: SocketAddr,
    client: Client,
    record: Arc<Record>,
}

/// How a server ended, and everything it logged.
pub struct Stopped {
    pub status: ExitStatus,
    pub log: Vec<Value>,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub async fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let server = Self::launch(place, settings);
        until("the server is ready", || async {
            let ready = server.client.get("/readyz").send().await;
            (ready.status == 200).then_some(())
        })
        .await;
        server
    }

    /// Starts one and waits until it listens; its database need not answer.
    pub fn launch(place: &Place, settings: &[(&str, &str)]) -> Self {
        Self::launch_by(&[], place, settings)
    }

    /// The same, started by another program; that one gets the signals.
    pub fn launch_by(by: &[&str], place: &Place, settings: &[(&str, &str)]) -> Self {
        let mut environment = place.settings();
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = Process::tuckshop_by(by, &["serve"], &environment);
        let address = process.out.first(PATIENCE, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["msg"] == "listening").then(|| line["address"].as_str()?.parse::<SocketAddr>().ok())?
        });
        let address = address.unwrap_or_else(|| panic!("it does not listen; it said:\n{}", process.said()));
        let client = Client::new(address, place.record().clone());
        Self { process, address, client, record: place.record().clone() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory it has had so far.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("it lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
        peak.unwrap_or_else(|| panic!("no VmHWM in {status}"))
    }

    /// What it logged so far, as JSON. Other lines of standard output are left out.
    pub fn log(&self) -> Vec<Value> {
        json_lines(&self.process)
    }

    /// Asks it to stop. It goes on meanwhile; see [`Server::ended`] and [`Server::wait`].
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits until it has ended.
    pub fn wait(mut self, patience: Duration) -> Stopped {
        let status = self.process.wait(patience);
        Stopped { status, log: json_lines(&self.process) }
    }

    /// Stops it in order.
    pub fn stop(self) -> Stopped {
        self.terminate();
        self.wait(PATIENCE)
    }

    /// Ends it without a word, as a power cut would.
    pub fn kill9(self) -> Stopped {
        self.process.signal(Signal::KILL);
        self.wait(PATIENCE)
    }

    /// As [`Server::kill9`], for whoever still has use for what it logged.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Halts it, without its connections being closed; [`Server::resume`] lets it go on.
    pub fn suspend(&self) {
        self.process.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }
}

/// A server is asked like its client.
impl Deref for Server {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Server {
    #[allow(clippy::print_stdout, reason = "the harness shows it beside the failure")]
    fn drop(&mut self) {
        let mut lines: Vec<String> = json_lines(&self.process).iter().map(ToString::to_string).collect();
        lines.extend(self.process.err.all());
        if std::thread::panicking() {
            println!("--- the log of the server at {} ---\n{}", self.address, lines.join("\n"));
        }
        self.record.logged(lines);
    }
}

fn json_lines(process: &Process) -> Vec<Value> {
    process.out.all().iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}
