//! Child processes. A child gets only the given environment, its output is read while it runs, and it is ended by its
//! process id.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under test.
pub const TUCKSHOP: &str = env!("CARGO_BIN_EXE_tuckshop");

/// A child process and the lines it has written. It is killed and reaped when dropped.
pub struct Process {
    child: Child,
    pub out: Arc<Lines>,
    pub err: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, reads_out) = read(child.stdout.take().expect("piped"));
        let (err, reads_err) = read(child.stderr.take().expect("piped"));
        Self { child, out, err, readers: vec![reads_out, reads_err] }
    }

    /// Starts the binary with these arguments and only this environment.
    pub fn tuckshop(arguments: &[&str], environment: &[(String, String)]) -> Self {
        Self::tuckshop_under(&[], arguments, environment)
    }

    /// Starts the binary through another program. `wrapper` is that program and its arguments before the command.
    pub fn tuckshop_under(wrapper: &[&str], arguments: &[&str], environment: &[(String, String)]) -> Self {
        let words = [wrapper, &[TUCKSHOP], arguments].concat();
        let environment = environment.iter().map(|(name, value)| (name, value));
        Self::start(Command::new(words[0]).args(&words[1..]).env_clear().envs(environment))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap_or_else(|error| panic!("{id:?}: {error}"));
    }

    /// The exit status, if the process has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until the process has ended and all its output is read.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.exit_status() {
                break status;
            }
            assert!(began.elapsed() < patience, "process {} does not end; its output:\n{}", self.id(), self.output());
            std::thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        status
    }

    /// All output so far.
    pub fn output(&self) -> String {
        let mut lines = self.out.all();
        lines.extend(self.err.all());
        lines.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has no effect on a process that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

/// The IPv4 address at which a process listens, from the kernel's table. For a process that does not report it.
pub fn listening_address(process: u32) -> Option<SocketAddr> {
    const LISTENING: &str = "0A";
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let sockets: Vec<String> = links.map(|link| link.display().to_string()).collect();
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).expect("Linux");
    // Each row has a local address, a remote address and a state, and as its tenth column the inode of the socket.
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|row| {
        let is_ours = row.get(3) == Some(&LISTENING) && sockets.contains(&format!("socket:[{}]", row.get(9)?));
        let (host, port) = row[1].split_once(':').filter(|_| is_ours)?;
        let host = Ipv4Addr::from(u32::from_str_radix(host, 16).ok()?.to_ne_bytes());
        Some((host, u16::from_str_radix(port, 16).ok()?).into())
    })
}

/// The output of a process, line by line, while it arrives.
#[derive(Default)]
pub struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    arrived: Condvar,
}

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The first value that `find` makes of a line. `None` if the output ends or the deadline passes before.
    pub fn first<T>(&self, patience: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let (mut seen, mut state) = (0, self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        loop {
            if let Some(found) = state.0[seen..].iter().find_map(|line| find(line)) {
                return Some(found);
            }
            seen = state.0.len();
            let left = until.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return None;
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut (Vec<String>, bool))) {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_all();
    }
}

/// Reads on its own thread, so that a full pipe never blocks the child.
fn read(from: impl Read + Send + 'static) -> (Arc<Lines>, JoinHandle<()>) {
    let lines = Arc::new(Lines::default());
    let reader = {
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                let Ok(line) = line else { break };
                lines.change(|state| state.0.push(String::from_utf8_lossy(&line).into_owned()));
            }
            lines.change(|state| state.1 = true);
        })
    };
    (lines, reader)
}
