//! `switch12345 prompts`: every recording the dialplans may play, for whoever records or generates them.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::{Configuration, answer, complain, now};
use crate::plan::prompts::inventory;

/// Lists every recording the dialplans may play, with the text to speak.
#[derive(Debug, Args)]
pub(super) struct Prompts {
    #[command(flatten)]
    configuration: Configuration,
    /// Overlays to load beside the dialplans: demo.
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// A JSON array of {"clip", "text"}; the file is `prompts/<clip>.wav`.
    #[arg(long)]
    json: bool,
}

impl Prompts {
    pub(super) fn run(&self) -> ExitCode {
        let loaded = self.configuration.load(&self.overlay, now());
        let Some(plan) = &loaded.plan else {
            complain(&loaded);
            return ExitCode::FAILURE;
        };
        let clips = inventory(plan);
        if self.json {
            let rows: Vec<_> = clips.iter().map(|(clip, text)| json!({"clip": clip, "text": text})).collect();
            answer(&serde_json::Value::Array(rows).to_string());
        } else {
            let rows: Vec<_> = clips.iter().map(|(clip, text)| format!("{clip}\t{text}")).collect();
            answer(&rows.join("\n"));
        }
        ExitCode::SUCCESS
    }
}
