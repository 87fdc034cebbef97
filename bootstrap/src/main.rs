//! The binary: everything is in the library, where tests reach it.

use std::process::ExitCode;

use portwright::wiring::Program;

/// Less CPU per request than the system's allocator, for some memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portwright::commands::main(std::env::args_os(), Program::product()).into()
}
