//! Arguments in, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// See docs/decisions/0010-allocator.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    stackgate::cli::main()
}
