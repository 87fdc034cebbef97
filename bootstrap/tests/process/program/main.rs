//! The product with tasks that do what a test wants to see, for tests that need worker processes.

mod works;

use std::process::ExitCode;
use std::sync::Arc;

use portwright::wiring::Program;
use portwright_application::compute::TaskRegistry;
use portwright_application::{Services, task_registry};
use works::Works;

/// As in the product, whose memory behaves as this makes it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    #[expect(clippy::disallowed_methods, reason = "it is a test's wish, not the program's configuration")]
    let wish = std::env::var("TEST_WORKERS_EXIT").ok();
    if let (Some("worker"), Some(status)) = (arguments.get(1).and_then(|it| it.to_str()), wish) {
        // A worker that dies as soon as it lives.
        return ExitCode::from(status.parse::<u8>().unwrap_or(u8::MAX));
    }
    portwright::commands::main(arguments, Program { tasks, ..Program::product() }).into()
}

fn tasks(services: &Services) -> TaskRegistry {
    task_registry(services).serve(&Arc::new(Works { compute: services.compute.clone() }))
}
