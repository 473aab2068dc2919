//! Runs the command line to its end and returns its output and exit code.

use std::time::Duration;

use super::place::Place;
use super::process::Process;

pub struct Finished {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `tuckshop` with these arguments and only this environment.
pub fn tuckshop(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    finish(Process::tuckshop(arguments, &environment.collect::<Vec<_>>()))
}

/// Runs `tuckshop` on the database and with the settings of a place.
pub fn tuckshop_at(place: &Place, arguments: &[&str], more: &[(&str, &str)]) -> Finished {
    let mut environment = place.settings();
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    finish(Process::tuckshop(arguments, &environment))
}

fn finish(mut process: Process) -> Finished {
    let status = process.wait(Duration::from_secs(60));
    let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"));
    Finished { code, out: process.out.all().join("\n"), err: process.err.all().join("\n") }
}
