//! What is printed: one JSON document for programs, tables and sentences for people.

use std::process::ExitCode;

use cairn_api::Problem;
use cairn_core::Error;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A document for programs, or what `people` prints.
    pub(crate) fn show<T: Serialize + ?Sized>(&self, document: &T, people: impl FnOnce()) {
        if self.json {
            println!(
                "{}",
                serde_json::to_string_pretty(document).unwrap_or_default()
            );
        } else {
            people();
        }
    }

    /// Prints the error and gives its exit code.
    pub(crate) fn fail(&self, error: &Error) -> ExitCode {
        if self.json {
            let problem = Problem::from(error.clone());
            println!(
                "{}",
                serde_json::to_string_pretty(&problem).unwrap_or_default()
            );
        } else {
            eprintln!("error: {error}");
            for name in &error.by {
                if !error.message.contains(name) {
                    eprintln!("  - {name}");
                }
            }
            if let Some(command) = &error.command {
                eprintln!("run: {command}");
            }
        }
        ExitCode::from(error.code.exit_code())
    }
}

/// A table; with nothing in it, `nothing` says so and what to do.
pub(crate) fn table(headers: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        println!("{nothing}");
        return;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|h| h.to_uppercase()));
    table.add_rows(rows);
    for line in table.lines() {
        println!("{}", line.trim_end().strip_prefix(' ').unwrap_or(&line));
    }
}

/// `name: value` lines, aligned.
pub(crate) fn facts(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("{name:>width$}: {value}");
    }
}

/// Bytes as people read them: `32.0 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
