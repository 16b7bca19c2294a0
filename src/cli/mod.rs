//! The command line: one binary, a subcommand for each thing an admin or operator asks (`contract.md` §1).
//!
//! Exit status: 0 done, 1 the thing asked about is wrong, 2 wrong use. Deliberately absent: what the commands do;
//! each is a module that parses nothing and a call into the floor that knows.

mod check;
mod demo;
mod prompts;
mod route;
mod run;
mod status;
mod trunks;

use std::cmp::Reverse;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::engine::disk::Disk;
use crate::plan::diagnose::Diagnostic;
use crate::plan::load::{Loaded, Request, load};

/// SIP call router for Chinese 12345 government hotlines.
#[derive(Debug, Parser)]
#[command(name = "switch12345", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the engine; the same as no command at all.
    Run(run::Run),
    /// Plays the story on one machine: engine, carrier, agents and a ticket receiver over loopback.
    Demo(demo::Demo),
    /// Shows the running engine.
    Status(status::Status),
    /// Shows the running engine's trunks.
    Trunks(trunks::Trunks),
    /// Shows the running engine's alarms.
    Alarms(trunks::Alarms),
    /// Validates configuration and all dialplans and runs their test rows.
    Check(check::Check),
    /// Explains what would happen to a call.
    Route(route::RouteCommand),
    /// Lists every recording the dialplans may play, with the text to speak.
    Prompts(prompts::Prompts),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub struct Configuration {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/switch.toml")]
    pub config: String,
    /// Overrides a key; the value is TOML: --set 'http.listen="127.0.0.1:8081"'. Repeatable.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE", value_parser = crate::plan::load::setting)]
    pub set: Vec<String>,
}

impl Configuration {
    /// Loads configuration and dialplans from the disk; dated lints are as of `wall`.
    #[must_use]
    pub fn load(&self, overlays: &[String], wall: Timestamp) -> Loaded {
        load(&Disk, &Request { config: &self.config, set: &self.set, overlays, wall })
    }
}

/// Runs the command given to this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(command) = cli.command else { return cli.run.run() };
    match command {
        Command::Run(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Trunks(command) => command.run(),
        Command::Alarms(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Route(command) => command.run(),
        Command::Prompts(command) => command.run(),
    }
}

/// The moment asked for, or the present.
fn moment(at: Option<Timestamp>) -> Timestamp {
    at.unwrap_or_else(now)
}

#[expect(clippy::disallowed_methods, reason = "a command that names no moment means the present one")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Parses `--at`: RFC 3339, or a local date or date-time in China's time.
fn parse_at(text: &str) -> Result<Timestamp, String> {
    crate::plan::load::moment(text)
        .ok_or_else(|| "write it like 2026-11-30T18:00:00+08:00, or without an offset in China's time".to_owned())
}

/// Writes an answer to standard output; a reader that has gone away (`| head`) is no fault.
fn answer(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// The faults of a load for reading in a terminal: notes and warnings first, so that the errors stand next to the prompt.
fn worst_last(faults: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut sorted: Vec<_> = faults.iter().collect();
    sorted.sort_by_key(|fault| Reverse(fault.severity));
    sorted
}

/// Shows every fault of a load on standard error.
#[expect(clippy::print_stderr, reason = "a command's complaints go to standard error")]
fn complain(loaded: &Loaded) {
    use std::io::IsTerminal as _;
    let colour = std::io::stderr().is_terminal();
    for fault in worst_last(&loaded.diagnostics) {
        eprintln!("{}\n", loaded.sources.render(fault, colour));
    }
}
