//! `status`: the running engine in a few lines, through its HTTP API.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::trunks::alarm_line;
use super::{Configuration, complain, now};

/// Shows the running engine.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    configuration: Configuration,
    /// Prints the API's answer as it is.
    #[arg(long)]
    json: bool,
}

impl Status {
    #[expect(clippy::print_stdout, reason = "a command's answer")]
    pub(super) fn run(&self) -> ExitCode {
        match fetch(&self.configuration, "status") {
            Ok(status) if self.json => println!("{status:#}"),
            Ok(status) => show(&status),
            Err(code) => return code,
        }
        ExitCode::SUCCESS
    }
}

/// Asks the running engine for `/api/v1/PATH`; where that fails, says why and gives the exit code.
#[expect(clippy::print_stderr, reason = "a command's complaint")]
pub(super) fn fetch(configuration: &Configuration, path: &str) -> Result<Value, ExitCode> {
    let loaded = configuration.load(&[], now());
    let Some(plan) = &loaded.plan else {
        complain(&loaded);
        return Err(ExitCode::from(1));
    };
    let settings = &plan.settings;
    let token = std::path::Path::new(&settings.data_dir).join("admin.token");
    ask(&format!("http://{}/api/v1/{path}", settings.http.listen), &token).map_err(|why| {
        eprintln!("no engine answers: {why}");
        ExitCode::from(1)
    })
}

fn ask(url: &str, token: &std::path::Path) -> Result<Value, String> {
    let token = std::fs::read_to_string(token).map_err(|fault| format!("`{}`: {fault}", token.display()))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|fault| fault.to_string())?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let client = client.map_err(|fault| fault.to_string())?;
        let answer = client.get(url).bearer_auth(token.trim()).send().await.map_err(|fault| fault.to_string())?;
        let answer = answer.error_for_status().map_err(|fault| fault.to_string())?;
        answer.json().await.map_err(|fault| fault.to_string())
    })
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
fn show(status: &Value) {
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or(0);
    let draining = status.get("draining").and_then(Value::as_bool) == Some(true);
    println!("calls {}{}", number("calls"), if draining { ", draining" } else { "" });
    println!("phones registered {}", number("registered"));
    println!("events waiting for the disk {}", number("store_waiting"));
    for worker in status.get("media").and_then(Value::as_array).into_iter().flatten() {
        let field = |key: &str| worker.get(key).cloned().unwrap_or_default();
        println!(
            "media worker: priority {}, legs {}, free ports {}",
            field("priority"),
            field("legs"),
            field("ports_free")
        );
    }
    for endpoint in status.get("tickets").and_then(Value::as_array).into_iter().flatten() {
        let field = |key: &str| endpoint.get(key).cloned().unwrap_or_default();
        println!("ticket endpoint {}: {} events waiting, {} dead", field("endpoint"), field("waiting"), field("dead"));
    }
    for alarm in status.get("alarms").and_then(Value::as_array).into_iter().flatten() {
        if let Some(line) = alarm_line(alarm) {
            println!("ALARM {line}");
        }
    }
}
