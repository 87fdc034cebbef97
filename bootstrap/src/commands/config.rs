//! `portwright config`: tells what there is, and then what is wrong with it.

use serde_json::Value;

use crate::cli::ConfigCommand;
use crate::config::{Reading, explain};
use crate::failure::Failure;
use crate::output;

pub(super) fn run(command: &ConfigCommand, reading: &Reading) -> Result<(), Failure> {
    let text = match command {
        ConfigCommand::Show { json: false } => explain::table(reading),
        ConfigCommand::Show { json: true } => pretty(&reading.settings.iter().map(explain::json).collect()),
        ConfigCommand::Explain { name, json: false } => explain::page(explain::one(reading, name)?),
        ConfigCommand::Explain { name, json: true } => pretty(&explain::json(explain::one(reading, name)?)),
    };
    output::print(&text)?;
    match &reading.config {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.clone()),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
