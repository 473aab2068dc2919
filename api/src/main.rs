//! The binary `tuckshop`: passes its arguments and its environment to [`api::cli::run`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// jemalloc returns the memory of a burst of large requests to the system. The C library's allocator keeps most of it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    api::cli::run(std::env::args_os(), std::env::vars_os())
}
