//! The binary `tuckshop`. It reads its arguments and its environment, once, and does as it is told.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives back what a burst of large requests took. The allocator of the C library keeps most of it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    api::cli::run(std::env::args_os(), std::env::vars_os())
}
