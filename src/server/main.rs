//! The executable `mimeo`: reads the command line and hands over.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use mimeo_core::causes::causes;
use mimeo_server::{
    cli::{self, Cli, Command, Options, ServeOptions},
    config::Config,
    doctor, serve,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise.
const LOG_DEFAULT: &str = "info";

fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("starting threads: {error}")),
    };
    runtime.block_on(async {
        match command {
            Command::Serve(overrides) => serve(&options, overrides).await,
            Command::Doctor => doctor::run(options.config.as_deref(), options.json).await,
            command => cli::run(options, command).await,
        }
    })
}

async fn serve(options: &Options, overrides: ServeOptions) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr).init();
    let mut config = match Config::load(options.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return complain(&causes(&error)),
    };
    overrides.apply(&mut config);
    match Box::pin(serve::run(config, CancellationToken::new())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&causes(&error)),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program that cannot go on")]
fn complain(sentence: &str) -> ExitCode {
    eprintln!("mimeo: {sentence}");
    ExitCode::FAILURE
}
