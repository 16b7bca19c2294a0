//! `switch12345 demo`: the story on one machine; nothing but the way in.

use std::process::ExitCode;

use clap::Args;

use crate::demo::{DemoOptions, run};

/// Plays the story on one machine: engine, carrier, agents and a ticket receiver over loopback.
///
/// Uses the shipped configuration and dialplans, free ports and a temporary directory. Exit status 0 only if every
/// call did what it should and everybody heard everybody.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Leaves the engine up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// One JSON object per call and last a summary.
    #[arg(long)]
    json: bool,
}

impl Demo {
    #[expect(clippy::print_stderr, reason = "a command's complaints go to standard error")]
    pub(super) fn run(&self) -> ExitCode {
        log_faults_to_stderr();
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(fault) => {
                eprintln!("the demonstration does not start: {fault}");
                return ExitCode::FAILURE;
            }
        };
        match runtime.block_on(run(DemoOptions { keep: self.keep, json: self.json })) {
            Ok(summary) if summary.failed == 0 => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(fault) => {
                eprintln!("the demonstration does not start: {fault}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Only what went wrong: the story itself is on standard output.
fn log_faults_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SWITCH12345_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    // A second subscriber in one process keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
