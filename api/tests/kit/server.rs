//! A running shop: the real binary on a port that the system picks.

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

/// The value of the `Simulation-Secret` header.
pub const SECRET: &str = "simulation-secret-of-the-tests";

/// A server process. It is killed by its process id when dropped.
pub struct Server {
    process: Process,
    address: SocketAddr,
    client: Client,
    record: Arc<Record>,
}

/// How a server ended, and its whole log.
pub struct Stopped {
    pub status: ExitStatus,
    pub log: Vec<Value>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let server = Self::launch(place, settings);
        until("the server is ready", || async {
            let ready = server.client.get("/readyz").send().await;
            (ready.status == 200).then_some(())
        })
        .await;
        server
    }

    /// Starts a server and waits until it listens. The database need not answer.
    pub fn launch(place: &Place, settings: &[(&str, &str)]) -> Self {
        Self::launch_under(&[], place, settings)
    }

    /// Starts a server through another program, which then gets the signals.
    pub fn launch_under(wrapper: &[&str], place: &Place, settings: &[(&str, &str)]) -> Self {
        let mut environment = place.settings();
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = Process::tuckshop_under(wrapper, &["serve"], &environment);
        let address = process.out.first(PATIENCE, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["msg"] == "listening").then(|| line["address"].as_str()?.parse::<SocketAddr>().ok())?
        });
        let address =
            address.unwrap_or_else(|| panic!("the server does not listen; its output:\n{}", process.output()));
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

    /// The peak of its resident memory so far.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("the server runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
        peak.unwrap_or_else(|| panic!("no VmHWM in {status}"))
    }

    /// The log so far, as JSON. Other lines of standard output are left out.
    pub fn log(&self) -> Vec<Value> {
        json_lines(&self.process)
    }

    /// Sends SIGTERM and returns at once; see [`Server::exit_status`] and [`Server::wait`].
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Waits until the server has ended.
    pub fn wait(mut self, patience: Duration) -> Stopped {
        let status = self.process.wait(patience);
        Stopped { status, log: json_lines(&self.process) }
    }

    /// Stops the server gracefully.
    pub fn stop(self) -> Stopped {
        self.terminate();
        self.wait(PATIENCE)
    }

    /// Kills the server with SIGKILL, as a power cut would end it.
    pub fn kill_and_wait(self) -> Stopped {
        self.process.signal(Signal::KILL);
        self.wait(PATIENCE)
    }

    /// Kills the server with SIGKILL and keeps its log readable.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Suspends the process and keeps its connections open. [`Server::resume`] continues it.
    pub fn suspend(&self) {
        self.process.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }
}

/// Gives a server the methods of its client.
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
        self.record.record_log(lines);
    }
}

fn json_lines(process: &Process) -> Vec<Value> {
    process.out.all().iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}
