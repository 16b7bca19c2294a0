//! `run`: starts the engine, says when it is ready, and ends it by signals.
//!
//! SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the files again and puts them in force when they
//! are without error. The first line on standard output begins `ready`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Configuration, complain, now};
use crate::engine::{self, Engine};

/// Starts the engine.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    configuration: Configuration,
}

impl Run {
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "the ready line and complaints are for the terminal")]
    pub(super) fn run(&self) -> ExitCode {
        log_to_stderr();
        let loaded = self.configuration.load(&[], now());
        complain(&loaded);
        let Some(plan) = loaded.plan else { return ExitCode::from(1) };
        let drain = plan.settings.limits.drain_max;
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(fault) => {
                eprintln!("the engine does not start: {fault}");
                return ExitCode::from(1);
            }
        };
        runtime.block_on(async {
            match engine::start(plan).await {
                Ok(engine) => {
                    let http = engine.http();
                    println!(
                        "ready {} http {http} token {}",
                        engine.listeners().join(" "),
                        engine.token_file().display()
                    );
                    self.until_told(engine, drain).await
                }
                Err(fault) => {
                    eprintln!("the engine does not start: {fault}");
                    ExitCode::from(1)
                }
            }
        })
    }

    async fn until_told(&self, engine: Engine, drain: Duration) -> ExitCode {
        let hear = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
        let (Ok(mut term), Ok(mut interrupt), Ok(mut reload)) = hear else {
            tracing::error!("signals cannot be heard");
            return ExitCode::from(1);
        };
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = interrupt.recv() => break,
                _ = reload.recv() => self.reload(&engine).await,
            }
        }
        tracing::info!(calls = engine.live_calls(), "draining: only emergency calls are taken");
        tokio::select! {
            () = engine.drain(drain) => {}
            _ = term.recv() => tracing::warn!(calls = engine.live_calls(), "told twice: ending at once"),
            _ = interrupt.recv() => tracing::warn!(calls = engine.live_calls(), "told twice: ending at once"),
        }
        engine.stop().await;
        ExitCode::SUCCESS
    }

    async fn reload(&self, engine: &Engine) {
        let loaded = self.configuration.load(&[], now());
        complain(&loaded);
        match loaded.plan {
            Some(plan) => engine.apply(plan).await,
            None => tracing::error!("the files have errors; the plan in force stays"),
        }
    }
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SWITCH12345_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second subscriber in one process (the demo inside a test) keeps the first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
