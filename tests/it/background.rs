//! Services beside the programs that a test runs against them.

use std::{
    future::Future,
    path::Path,
    process::{Command, Output},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A runtime of its own, whose services are told to stop when it is dropped.
pub(crate) struct Background {
    runtime: Runtime,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Background {
    /// Its threads belong to the network namespace in which this is called.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let stop = CancellationToken::new();
        Self { runtime, stop: stop.clone(), _guard: stop.drop_guard() }
    }

    /// What tells a service to stop.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        service: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(service)
    }
}

/// Runs a program in a folder, for so many seconds at most, so that a hang fails the test.
pub(crate) fn run(folder: &Path, seconds: u32, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(seconds.to_string()).arg(program).args(arguments).current_dir(folder);
    command.output().unwrap_or_else(|error| panic!("{program} must be installed: {error}"))
}

/// A flood's own sockets and the service's are in one process here.
pub(crate) fn raise_descriptor_limit() {
    let process = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &process, "--nofile=16384"]).output();
    let raised = raised.expect("prlimit is installed");
    assert!(raised.status.success(), "{raised:?}");
}
