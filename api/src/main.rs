//! The binary `tuckshop`. It reads its arguments and its environment, once, and does as it is told.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::cli::run(std::env::args_os(), std::env::vars_os())
}
