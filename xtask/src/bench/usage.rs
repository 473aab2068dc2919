//! CPU time and memory of processes, from `/proc`.

use anyhow::{Context, Result};

/// Linux counts CPU time in units of 10 ms.
const TICKS: f64 = 100.0;

/// The CPU time (user and system) that a process has used so far, in seconds.
pub fn cpu(process: u32) -> Result<f64> {
    Ok(Stat::read(process)?.own)
}

/// The CPU time in seconds of a process, of its children, and of those children that have ended.
pub fn cpu_of_tree(process: u32) -> Result<f64> {
    let root = Stat::read(process)?;
    let processes = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A child that ends while the list is read is not counted here.
    let children = processes.filter_map(|id: u32| Stat::read(id).ok()).filter(|child| child.parent == process);
    Ok(root.own + root.ended_children + children.map(|child| child.own).sum::<f64>())
}

/// The value in KiB of a field of `/proc/PID/status`, such as `VmHWM` (the peak of the memory) or `VmRSS`.
pub fn memory_kib(process: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("/proc has no {field} of a process"))
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

impl Stat {
    fn read(process: u32) -> Result<Stat> {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        Stat::parse(&text).with_context(|| format!("/proc/{process}/stat has another form"))
    }

    /// The name of a program, in brackets, may contain blanks and brackets. The fields after it are the state, the
    /// parent, and from the twelfth on the CPU times of the process and of its children that have ended.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
        let seconds = |first: usize| -> Option<f64> {
            let ticks = fields.get(first..first + 2)?.iter().map(|ticks| ticks.parse::<f64>());
            Some(ticks.sum::<Result<f64, _>>().ok()? / TICKS)
        };
        Some(Stat { parent: fields.get(1)?.parse().ok()?, own: seconds(11)?, ended_children: seconds(13)? })
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
